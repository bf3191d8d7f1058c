// Texts as a speech bubble takes them. UTF-8; no letter is ever cut in two.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace village {

/// A model's text as one line: no line breaks, no quotation marks around it, at most so many bytes. `whole`: it is over,
/// and is cut after a sentence where it is too long.
[[nodiscard]] std::string spoken(std::string_view text, std::size_t most, bool whole);
/// Where the letter after the one at `at` begins; the text's end is not passed.
[[nodiscard]] std::size_t next_letter(std::string_view text, std::size_t at) noexcept;
/// The number of the letter at `at`, which moves behind it; U+FFFD where there is none.
[[nodiscard]] char32_t letter(std::string_view text, std::size_t& at) noexcept;
/// Broken into lines that are no wider than `most`, by the width of each letter.
[[nodiscard]] std::vector<std::string> lines(std::string_view text, double most,
                                             const std::function<double(char32_t)>& width);

}  // namespace village
