// The members of request bodies as JSON text, which every API's codec puts together. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.hpp"

namespace llmcore::net {

/// The members of a body, each of them JSON text, sorted by name.
using Fields = std::map<std::string, std::string, std::less<>>;

/// Why a request cannot be sent: a sentence that names where, and never what it says.
using Problem = std::optional<std::string>;

/// A JSON string.
[[nodiscard]] std::string quoted(std::string_view utf8);
/// The same of bytes that may be no UTF-8: what is none becomes U+FFFD.
[[nodiscard]] std::string quoted_as_utf8(std::string_view bytes);
/// A number that JSON has, shortest; nothing of infinities and NaN.
[[nodiscard]] std::optional<std::string> json_number(double value);
/// JSON of an object.
[[nodiscard]] std::string dump(const Fields& fields);
/// JSON of a list.
[[nodiscard]] std::string json_list(const std::vector<std::string>& elements);
/// Names the params that an API has no form for, if there are any: they would be dropped, or be refused.
/// `stream` is refused wherever it stands: a field of the request asks for it.
[[nodiscard]] std::optional<std::string> refused_params(const std::vector<Json::Member>& params,
                                                        std::string_view unknown, std::string_view provider,
                                                        bool null_is_absent);

/// JSON text without blanks: names sorted at every level, or in the order given.
[[nodiscard]] std::string sorted_json(Json value);
[[nodiscard]] std::string compact_json(Json value);

/// The params of a request while those that an API calls otherwise are taken out; the rest go as they are.
class Params {
 public:
  explicit Params(std::vector<Json::Member> all) : all_(std::move(all)) {}
  /// Absent where there is none, or null.
  Json pop(std::string_view name);
  [[nodiscard]] const std::vector<Json::Member>& left() const noexcept { return all_; }

 private:
  std::vector<Json::Member> all_;
};

}  // namespace llmcore::net
