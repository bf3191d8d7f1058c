// Texts of the offline generator for any request: valid UTF-8, never empty, the same every time; in JSON mode one object that any
// parser reads.
#include "llmcore/offline.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "bytes.hpp"

namespace {

using llmcore::fuzz::require;

/// As another project's writer sees it: it refuses everything else.
bool valid_utf8(std::string_view text) {
  try {
    return !nlohmann::json(text).dump().empty();
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  llmcore::fuzz::Bytes bytes(data, size);
  llmcore::OfflineRequest request;
  request.problem = static_cast<llmcore::ProblemType>(bytes.below(8));
  request.severity = bytes.number();
  request.seed = bytes.word();
  request.json = bytes.flag();
  constexpr std::string_view kNames[] = {"name", "other", "topic", "place", "goal", "resource"};
  while (!bytes.empty() && request.placeholders.size() < 16) {
    const std::size_t which = bytes.below(8);
    const std::string name(which < 6 ? kNames[which] : bytes.text());
    request.placeholders.emplace_back(name, bytes.text());
  }

  const llmcore::OfflineGenerator generator;
  const std::string text = generator.generate(request);
  require(!text.empty(), "a text is never empty");
  require(valid_utf8(text), "a text is UTF-8");
  require(generator.generate(request) == text, "the same request gives the same text");
  if (request.json) {
    const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
    require(object.is_object() && object.size() == 3, "JSON mode answers an object of three");
    require(object["text"].is_string() && !object["text"].get<std::string>().empty(), "JSON: text");
    require(object["problem"] == std::string(llmcore::OfflineGenerator::name_of(request.problem)), "JSON: problem");
    require(object["severity"].is_number_integer(), "JSON: severity");
  }
  const std::string word(reinterpret_cast<const char*>(data), size);
  std::string upper = word;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  require(llmcore::OfflineGenerator::problem_of(word) == llmcore::OfflineGenerator::problem_of(upper),
          "upper or lower case");
  return 0;
}
