#include "hud.hpp"

#include <cmath>
#include <cstdio>

#include "stopwatch.hpp"

namespace village {
namespace {

using Ogre::ColourValue;

const PanelStyle kDark{"hud", ColourValue(0.08F, 0.10F, 0.14F, 0.72F), ColourValue(0.30F, 0.36F, 0.44F, 0.8F)};
const ColourValue kBright(0.96F, 0.97F, 0.98F);
const ColourValue kDim(0.68F, 0.76F, 0.84F);

template <class... Values>
std::string text(const char* format, Values... values) {
  char bytes[200];
  std::snprintf(bytes, sizeof bytes, format, values...);
  return bytes;
}

long long whole(std::int64_t number) { return static_cast<long long>(number); }

std::string state_of(const Play& play) {
  std::string out;
  if (play.mode() == Play::Mode::recording) out = "RECORDING";
  if (play.mode() == Play::Mode::replaying) {
    out = play.divergence() ? "REPLAY DIVERGES: " + play.divergence()->field : "REPLAYING, THE SAME SO FAR";
  }
  if (!play.plugged()) out += std::string(out.empty() ? "" : " · ") + "NETWORK PULLED";
  return out;
}

}  // namespace

Hud::Hud(const Fonts& fonts, float scale)
    : fonts_(fonts),
      scale_(scale),
      figures_("figures", kDark, 500, scale),
      names_(figures_.add_text(fonts.small, kDim)),
      values_(figures_.add_text(fonts.small, kBright)),
      state_("state", {"state", ColourValue(0.62F, 0.14F, 0.12F, 0.85F), ColourValue(0.85F, 0.30F, 0.26F, 1)}, 510,
             scale),
      state_text_(state_.add_text(fonts.bold, kBright)),
      keys_("keys", kDark, 520, scale),
      keys_text_(keys_.add_text(fonts.small, kBright)) {
  figures_.show(true);
}

float Hud::wide() const { return 300 * scale_; }

float Hud::high() const { return 8 * fonts_.small.height() + 14 * scale_; }

void Hud::show(const Play& play, const std::vector<double>& frames, const std::vector<double>& spent, float width,
               float height) {
  const Tally& tally = play.dialogue().tally();
  const float pad = 9 * scale_;
  const float line = fonts_.small.height();
  names_.setCaption("frame\nin llmcore\ncalls\nanswers\ntokens\ncost\ncache hits\nvoice");
  values_.setCaption(
      text("%.1f ms, p99 %.1f ms\n", percentile(frames, 0.5), percentile(frames, 0.99)) +
      text("%.0f us, p99 %.0f us\n", percentile(spent, 0.5), percentile(spent, 0.99)) +
      text("%lld open, %lld on the network\n", whole(tally.open), whole(play.in_flight())) +
      text("%lld, %lld fallbacks, %lld failed\n", whole(tally.answered), whole(tally.fallbacks), whole(tally.failed)) +
      text("%lld\n", whole(tally.tokens)) +
      text("$%.6f%s\n", static_cast<double>(tally.cost) / 1e9, tally.cost_known ? "" : ", some unpriced") +
      text("%lld of %lld\n", whole(tally.cached), whole(tally.answered)) +
      fonts_.small.drawable(play.provider() + (play.unhealthy() > 0 ? " (breaker open)" : "")));
  names_.setPosition(std::round(pad), std::round(pad * 0.8F));
  values_.setPosition(std::round(pad + 82 * scale_), std::round(pad * 0.8F));
  figures_.place(pad, pad, wide(), high());

  const std::string state = fonts_.bold.drawable(state_of(play));
  state_.show(!state.empty());
  if (!state.empty()) {
    const float wide = fonts_.bold.width(state) + 2 * pad;
    state_text_.setCaption(state);
    state_text_.setPosition(std::round(pad), std::round(pad * 0.6F));
    state_.place(width - wide - pad, pad, wide, fonts_.bold.height() + 1.2F * pad);
  }

  keys_.show(!line_.empty());
  if (!line_.empty()) {
    const std::string keys = fonts_.small.drawable(line_);
    const float wide = fonts_.small.width(keys) + 2 * pad;
    keys_text_.setCaption(keys);
    keys_text_.setPosition(std::round(pad), std::round(pad * 0.6F));
    keys_.place((width - wide) / 2, height - line - 2.2F * pad, wide, line + 1.2F * pad);
  }
}

}  // namespace village
