#include "bubbles.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "words.hpp"

namespace village {
namespace {

using Ogre::ColourValue;

const ColourValue kInk(0.13F, 0.12F, 0.14F);
const ColourValue kFaint(0.36F, 0.38F, 0.46F);

/// By priority: the partner's, the neighbours', what others think to themselves.
const std::array<PanelStyle, 3> kStyles{
    PanelStyle{"high", ColourValue(1.0F, 0.98F, 0.90F, 0.97F), ColourValue(0.85F, 0.48F, 0.12F, 1)},
    PanelStyle{"medium", ColourValue(1, 1, 1, 0.92F), ColourValue(0.24F, 0.44F, 0.66F, 1)},
    PanelStyle{"low", ColourValue(0.91F, 0.93F, 0.97F, 0.80F), ColourValue(0.55F, 0.58F, 0.66F, 0.9F)}};
const PanelStyle kPlayers{"player", ColourValue(0.86F, 0.94F, 0.86F, 0.96F), ColourValue(0.26F, 0.52F, 0.30F, 1)};

const PanelStyle& style_of(llmcore::Priority priority) {
  return kStyles[priority == llmcore::Priority::high ? 0 : priority == llmcore::Priority::medium ? 1 : 2];
}

std::string label(const std::string& name, const Speech& speech, bool player) {
  std::string out = name;
  if (player) return out;
  if (speech.cached) return out + " · from the cache";
  if (speech.fallback) return out + " · offline";
  if (speech.priority == llmcore::Priority::low) return out + " thinks";
  return out;
}

}  // namespace

struct Bubbles::Bubble {
  Bubble(const std::string& name, const Fonts& fonts, unsigned short z_order, float scale)
      : panel(name, kStyles[0], z_order, scale),
        who(panel.add_text(fonts.bold, kInk)),
        words(panel.add_text(fonts.text, kInk)),
        tail(panel.add_picture(tail_material(kStyles[0], Tail::speech))) {}
  Panel panel;
  Ogre::TextAreaOverlayElement& who;
  Ogre::TextAreaOverlayElement& words;
  Ogre::PanelOverlayElement& tail;
};

Bubbles::Bubbles(const Fonts& fonts, std::size_t speakers, float scale) : fonts_(fonts), scale_(scale) {
  for (std::size_t i = 0; i < speakers; ++i) {
    const auto z_order = static_cast<unsigned short>(400 - 10 * i);
    bubbles_.push_back(std::make_unique<Bubble>("bubble" + std::to_string(i), fonts, z_order, scale));
  }
}

Bubbles::~Bubbles() = default;

void Bubbles::clear(float width, float height, const Ogre::Vector2& corner) {
  corner_ = corner;
  width_ = width;
  height_ = height;
  taken_.clear();
  for (const auto& each : bubbles_) each->panel.show(false);
}

Bubbles::Box Bubbles::free_place(Box box) const {
  const float gap = 6 * scale_;
  for (std::size_t tries = 0; tries < taken_.size(); ++tries) {
    const auto hit = std::find_if(taken_.begin(), taken_.end(), [&](const Box& each) {
      return box.left < each.left + each.width + gap && each.left < box.left + box.width + gap &&
             box.top < each.top + each.height + gap && each.top < box.top + box.height + gap;
    });
    if (hit == taken_.end()) break;
    box.top = hit->top - gap - box.height;
  }
  return box;
}

void Bubbles::show(std::size_t speaker, const std::string& name, const Speech& speech, std::int64_t tick,
                   const Ogre::Vector2& mouth) {
  if (mouth.x < -0.05F * width_ || mouth.x > 1.05F * width_ || mouth.y < 0 || mouth.y > height_) return;
  const bool player = speaker + 1 == bubbles_.size();
  const bool thought = !player && speech.priority == llmcore::Priority::low;
  const PanelStyle& style = player ? kPlayers : style_of(speech.priority);
  std::string said = speech.text.substr(0, speech.shown);
  if (said.empty()) said = std::string(". . .").substr(0, static_cast<std::size_t>(1 + 2 * (tick / 15 % 3)));

  const std::string who = fonts_.bold.drawable(label(name, speech, player));
  const auto width_of = [&](char32_t letter) { return static_cast<double>(fonts_.text.width(letter)); };
  // Broken by the whole text, so that no word jumps to the next line while it is spoken.
  const std::vector<std::string> broken = lines(fonts_.text.drawable(speech.text), 250 * scale_, width_of);
  float wide = std::max(fonts_.bold.width(who), 60 * scale_);
  std::string caption;
  std::size_t left_over = said.size();
  std::size_t rows = 1;
  if (speech.shown == 0) {
    caption = said;
  } else {
    rows = 0;
    for (const std::string& line : broken) {
      if (left_over == 0) break;
      wide = std::max(wide, fonts_.text.width(line));
      if (rows++ > 0) caption += '\n';
      caption += line.substr(0, left_over);
      left_over -= std::min(left_over, line.size() + 1);
    }
  }
  const float pad = 9 * scale_;
  Box box;
  box.width = wide + 2 * pad;
  box.height = fonts_.bold.height() + static_cast<float>(rows) * fonts_.text.height() + 2 * pad;
  const float tail = 13 * scale_;
  box.left = std::clamp(mouth.x - box.width / 2, pad, std::max(pad, width_ - box.width - pad));
  box.top = player ? mouth.y + tail : mouth.y - box.height - tail;
  if (!player) box = free_place(box);
  box.top = std::max(box.top, pad);
  if (box.top < corner_.y) box.left = std::max(box.left, corner_.x);
  taken_.push_back(box);

  Bubble& bubble = *bubbles_[speaker];
  bubble.panel.set_style(style);
  bubble.panel.place(box.left, box.top, box.width, box.height);
  bubble.who.setCaption(who);
  bubble.who.setColour(thought ? kFaint : ColourValue(style.edge.r * 0.8F, style.edge.g * 0.8F, style.edge.b * 0.8F));
  bubble.who.setPosition(std::round(pad), std::round(pad * 0.8F));
  bubble.words.setCaption(caption);
  bubble.words.setColour(thought ? kFaint : kInk);
  bubble.words.setPosition(std::round(pad), std::round(pad * 0.8F + fonts_.bold.height()));
  const float along = std::clamp(mouth.x - box.left - tail / 2, pad, box.width - pad - tail);
  bubble.tail.setMaterialName(tail_material(style, thought ? Tail::thought : Tail::speech));
  player ? bubble.tail.hide() : bubble.tail.show();
  bubble.tail.setDimensions(std::round(tail), std::round(tail));
  bubble.tail.setPosition(std::round(along), std::round(box.height - (thought ? 0 : 2 * scale_)));
  bubble.panel.show(true);
}

}  // namespace village
