// What the offline generator says: by problem type, then by severity band, then as the seed chooses.
//
// A band sets length and tone: one sentence when calm, two when tense, three when severe, four or more in a
// catastrophe. {place}, {topic} and the rest stand where a name, a singular, a plural or a mass noun reads well, and
// never begin a sentence, since a value is inserted as it is. Changing a text changes recorded games: the tests hold
// every one of them.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace llmcore::offline {

inline constexpr std::size_t kBandCount = 4;
inline constexpr std::size_t kChoiceCount = 3;

using Choices = std::array<std::string_view, kChoiceCount>;
using Bands = std::array<Choices, kBandCount>;

/// What stands in for a placeholder that the request does not name.
struct Default {
  std::string_view name;
  std::string_view word;
};
inline constexpr std::array<Default, 6> kDefaults{{
    {"name", "everyone"},
    {"other", "the other side"},
    {"topic", "the matter at hand"},
    {"place", "the area"},
    {"goal", "the common goal"},
    {"resource", "supplies"},
}};

inline constexpr Bands kGeneral{{
    {{"No language model answered, so here is a plain reply: {topic} gives no cause for concern.",
      "This is a prepared reply: nothing about {topic} calls for attention right now.",
      "A short reply without a model behind it: {topic} can take its usual course."}},
    {{"No language model answered, so this is a general reply only. The question of {topic} deserves some care; take "
      "one step at a time and keep {goal} in view.",
      "This is a prepared reply, because no model was reachable. What can be said about {topic} is that it should not "
      "be left alone for long.",
      "A reply without a model behind it can only be cautious. Look at {topic} again soon, and ask {name} for a "
      "second opinion before anything is settled."}},
    {{"No language model answered, so this can be no more than general advice. The state of {topic} is serious and "
      "calls for someone to take charge of it. Put {goal} first, and let everything else wait.",
      "This is a prepared reply, because no model was reachable. It has to be said plainly that {topic} is in trouble "
      "and will not mend by itself. Bring together whoever can help, agree on one next step, and take it today.",
      "A reply without a model behind it cannot know the details. Even so, the signs around {topic} are bad enough "
      "to act on. Secure {place}, save {resource}, and tell {name} what is going on before rumours do."}},
    {{"No language model answered, and there would be no time to wait for one. All signs say that {topic} has gone as "
      "wrong as it possibly could. Drop everything that does not protect people, and call for every kind of help "
      "there is. Questions of cause and blame can be answered when {place} is safe again.",
      "This is a prepared reply to the worst of cases. The state of {topic} is beyond what ordinary measures can "
      "repair. Stop what is making it worse, bring {name} to safety, and give up {resource} without regret. Then do "
      "the next necessary thing, and the next, until help arrives.",
      "A reply without a model behind it can still be clear: this is an emergency. Nothing about {topic} will be "
      "saved by waiting, by hoping or by another meeting. Put one person in command of {place}, and let that person "
      "act without asking first. Hold on to {goal}, because everything else may have to be let go."}},
}};

inline constexpr Bands kDialogue{{
    {{"Good to see you, {name}; there is time enough to talk about {topic}.",
      "All is quiet in {place}, so let us speak of {topic} whenever it suits you.",
      "I have been thinking about {topic}, and I would like to hear what you make of it."}},
    {{"I will be honest with you, {name}: I have begun to worry about {topic}. Let us settle it before {other} does "
      "it for us.",
      "People in {place} talk of little else than {topic} these days. Tell me where you stand, because I would rather "
      "hear it from you.",
      "Something about {topic} does not sit right with me. If {goal} still matters to you, we should speak plainly "
      "now and not later."}},
    {{"Listen to me, {name}, because I will say this only once. What has happened with {topic} cannot be undone by "
      "kind words. Choose whom you stand with before {other} makes the choice for you.",
      "I did not want to bring you this news, but {place} is no longer safe for an open word. Everyone has heard "
      "about {topic}, and half of them blame us. If {goal} means anything to us, we must fight for it soon.",
      "There is no use in pretending any longer that the trouble with {topic} will pass. Every day that we wait "
      "makes {other} bolder. Stand with me now, {name}, or tell me to my face that you will not."}},
    {{"It is over, {name}; everything we built in {place} is coming down around us. I kept telling myself that the "
      "trouble with {topic} would never go this far, and I was wrong. There is no time left for blame, for bargains "
      "or for pride. Take whoever can still walk, hold on to {goal}, and do not look back.",
      "Look around you and tell me what is left of {place}. We argued about {topic} until there was nobody left to "
      "argue with. Now {other} holds everything that mattered, and we hold our breath. If you have one brave thing "
      "left in you, {name}, this is the hour for it.",
      "I have no comfort to offer you, only the truth about {topic}. Everything that could fail has failed, and "
      "nobody in {place} will see another morning like the last. Say what you need to say to the people you love. "
      "Then come back to me, because {goal} is still worth one last attempt."}},
}};

inline constexpr Bands kDecision{{
    {{"The easy course is enough here: keep to {goal} and look at {topic} again later.",
      "Nothing forces a choice about {topic} today, so {name} can simply wait and watch.",
      "Either way is safe, and the cheaper one will do for {topic}."}},
    {{"The choice about {topic} should not be put off much longer. Take the option that keeps {goal} within reach, "
      "and leave a way back.",
      "Both ways have a price, and {other} is watching which one is taken. Move carefully on {topic}, and commit only "
      "what {name} can afford to lose.",
      "Waiting is still possible, but it is getting dearer. Hold back {resource} for now, and decide on {topic} as "
      "soon as the next news is in."}},
    {{"A decision on {topic} is needed now, because every hour makes the good options fewer. Give up what does not "
      "serve {goal}, and do it openly. It will cost {resource}, and delay would cost more.",
      "There is no choice left that pleases everyone. The soundest one is to protect {place} first and to face "
      "{other} second. Act on {topic} today, with everything that can be spared, and explain it afterwards.",
      "The safe answer about {topic} is gone; what remains is a choice between losses. Take the smaller one while "
      "it is still on offer. If {name} hesitates, {other} will choose, and not kindly."}},
    {{"Every option is bad, and the worst of them is to do nothing. Let go of all that cannot be saved and put "
      "everything into {goal}. No vote, no council and no second opinion will come in time for {topic}. Decide now, "
      "{name}, and carry the weight of it later.",
      "This is the last decision about {topic} that will matter. Leave {place}, leave {resource}, leave the quarrel "
      "with {other}. What is kept alive now can be rebuilt, and what is held out of pride will be lost with "
      "everything else. Choose the living, at any price, and choose at once.",
      "The time to weigh {topic} has passed; only the time to act is left. Send every hand and all {resource} to "
      "where the line still holds. Accept that {place} may fall, and make its fall serve {goal}. There is no plan "
      "behind this one, so it must not be done by halves."}},
}};

inline constexpr Bands kAnalysis{{
    {{"A first look at {topic} shows nothing out of the ordinary.",
      "The signs around {topic} are steady, with no cause for concern in {place}.",
      "As far as can be told, {topic} is on course and {goal} is not in question."}},
    {{"There are early signs of trouble in {topic}, though none is beyond repair. The figures on {resource} deserve a "
      "closer look before {goal} is promised to anyone.",
      "The picture of {topic} is mixed: most of it holds, and some of it is slipping. Pressure from {other} explains "
      "part of that, but not all.",
      "Two readings of {topic} are possible, and the less pleasant one is gaining ground. It would be prudent to "
      "plan for both until {place} is quiet again."}},
    {{"The trend in {topic} is clearly negative and no longer slow. The drain on {resource} and the pressure from "
      "{other} feed each other. Unless one of the two is broken soon, {goal} moves out of reach.",
      "Three things stand out: the state of {topic} is worse than reported, {place} is poorly prepared, and {other} "
      "knows both. Each alone could be managed. Together they leave little room for error and none for delay.",
      "Most of what held {topic} together has given way. What is left hangs on {resource} alone and cannot last at "
      "this rate. The likely course is a further decline, with {place} the first to feel it."}},
    {{"The analysis leaves no room for doubt: {topic} has failed, and the failure is spreading. Every safeguard in "
      "{place} was either exhausted or bypassed. There is no {resource} to reverse it with, and {other} has every "
      "reason to press on. All remaining effort should go to saving lives and whatever can carry {goal} forward.",
      "Nothing in the record compares with what has happened to {topic}. The causes no longer matter, because all of "
      "them are now active at once. In {place} the collapse is complete, and beyond it the same signs are showing. "
      "The only open question is how much can be kept from the ruin, and the answer shrinks by the hour.",
      "Every measure of {topic} has gone past the worst case that was ever planned for. Without {resource}, the "
      "remaining defences are a matter of hope. No path leads back to the way things were in {place}. What can be "
      "done is to end the losses, to tell people the truth, and to keep {goal} alive for those who come after."}},
}};

inline constexpr Bands kSummary{{
    {{"In short: {topic} went as expected, and nothing remains to be done.",
      "To sum up, all is well in {place} and {topic} takes its usual course.",
      "The short version is that {topic} is settled to the satisfaction of {name}."}},
    {{"In short: {topic} is not settled yet, and opinions differ. The open point is who pays for {resource}, which "
      "{other} wants to discuss again.",
      "To sum up, there was some progress on {topic} and some friction in {place}. What matters next is to keep "
      "{goal} in view and tempers in check.",
      "The short version is that {topic} took longer than planned and cost more than hoped. It can still end well "
      "if {name} and {other} keep talking."}},
    {{"In short: {topic} took a serious turn. Trust in {place} is badly damaged, and {other} has drawn back from what "
      "was agreed. Without a firm step toward {goal}, things will get worse.",
      "To sum up, three things went wrong at once: {topic} failed, {place} ran short of {resource}, and nobody was "
      "ready for either. Repairs have begun, but slowly. The next days decide whether {goal} can be kept.",
      "The short version is bad news. Most of what was planned for {topic} has been lost, and {place} bears the "
      "heaviest share. What remains has to be defended with hardly any {resource}."}},
    {{"In short: {topic} ended in disaster. All that was built in {place} is gone, and so is most of the {resource} "
      "that might have rebuilt it. Neither {name} nor {other} can claim to have won anything. What remains is to "
      "count the survivors, bury the quarrel and start again.",
      "To sum up, everything that could go wrong with {topic} did, and all at once. Warnings were given and not heard "
      "until {place} was past saving. The losses are beyond counting, and no help is on its way. If anything is to be "
      "learned from this, it must be learned by those who are left.",
      "The short version is also the whole of it: {topic} is lost. There is no {resource} left, no shelter in "
      "{place} and no word from {other}. Hope rests on a few people who still hold to {goal}. Everything else "
      "belongs to the past tense."}},
}};

inline constexpr Bands kConflict{{
    {{"The disagreement with {other} over {topic} is small and will likely pass by itself.",
      "A few sharp words about {topic} were heard in {place}, and then a few kind ones.",
      "Some rivalry over {topic} remains, but it stays friendly on all sides."}},
    {{"The quarrel over {topic} is growing louder, and {other} has begun to gather friends. A fair word now would "
      "cost less than a hard one later.",
      "In {place} people have started to take sides over {topic}. Nobody has gone too far yet, but {name} should not "
      "count on that for long.",
      "Old grudges have found a new name, and the name is {topic}. Both sides still talk, and as long as they do, "
      "{goal} can be saved."}},
    {{"The dispute over {topic} has turned into open hostility. Blows have been struck in {place}, and {other} is not "
      "looking for peace. Whoever cares for {goal} must now be ready to defend it.",
      "Talks about {topic} have broken down, and each side blames the other. The roads out of {place} are watched, "
      "and nobody admits to having {resource}. Only a strong hand or a great concession can stop what is coming.",
      "What began as an argument over {topic} is now a feud with names and scars. Hatred of {other} has become a "
      "reason in itself. Each day without a truce makes the next one bloodier and {goal} more distant."}},
    {{"War over {topic} has swallowed {place} whole. There are no sides any more, only those who burn and those who "
      "flee. Every promise made to {other} lies broken next to every promise that was made in return. If it does not "
      "end tonight, there will be nobody left to end it.",
      "The fighting has gone beyond {topic}, beyond reason and beyond anyone's command. Streets in {place} change "
      "hands by the hour, and each time fewer people are left to see it. The last envoys to {other} did not return. "
      "Whatever {goal} once meant, survival is all that it can mean now.",
      "Nothing is left of the peace, and little is left of {place}. Those who started the fight over {topic} are "
      "dead, and it goes on without them. Both sides are out of {resource}, out of mercy and out of reasons. "
      "Someone has to lay down arms first, or the silence afterwards will be complete."}},
}};

inline constexpr Bands kShortage{{
    {{"Stores of {resource} in {place} are a little below the usual, which is no cause for worry.",
      "A small gap in {resource} can be closed with the next delivery.",
      "With a bit of care {place} will not run short of {resource} this season."}},
    {{"Stores of {resource} are shrinking faster than planned. It would be wise to share them out by need in {place} "
      "before people begin to hoard.",
      "The price of {resource} has gone up twice, and the talk in {place} has followed it. A modest ration today "
      "would spare {name} a harsh one later.",
      "Deliveries of {resource} come late, and {other} is blamed for it. There is still time to find another "
      "source, as long as the search begins now."}},
    {{"Stores of {resource} in {place} will be empty within days. Rations have been cut, and those who have nothing "
      "are beginning to look at those who do. Without help from {other}, the weakest will not last.",
      "The shortage of {resource} is no longer a matter of comfort. Work in {place} has stopped, and the queues begin "
      "before dawn. Everything that does not serve {goal} should be sold or done without.",
      "There is no longer enough {resource} to go round, and everyone knows it. Thefts have begun in {place}, and "
      "so have the beatings. A strict and equal share is the only thing that may still hold people together."}},
    {{"There is no more {resource} in {place}, and there will be none tomorrow. The stores stand open because nothing "
      "is left to guard. People walk out into the open country with what they can carry, and most will not arrive "
      "anywhere. Whoever still has something must share it now, or watch everyone else go under.",
      "The last handful of {resource} was shared out this morning, and one in ten got a share. Nobody speaks of "
      "{topic} any more, only of who will live. Neither pleas nor threats have moved {other} to send relief. What "
      "{name} decides about the few things that remain will decide who sees the spring.",
      "Want has many names, and here it is called {resource}. It has emptied the houses of {place}, then the "
      "streets, then the hearts of those who stayed. Order holds wherever someone is still strong enough to hold "
      "it. Unless relief comes from beyond the border at once, there will be no one left to receive it."}},
}};

inline constexpr Bands kDanger{{
    {{"There is a slight risk around {topic}, well within what {name} can handle.",
      "The way through {place} is safe enough for those who keep their eyes open.",
      "Nothing threatens {place} at the moment, and a normal watch will do."}},
    {{"Something is wrong in {place}, even if nobody can say what. Keep {name} close, keep a light burning, and leave "
      "{topic} for the day.",
      "The risk around {topic} is growing, and chance alone has kept it harmless so far. A second pair of eyes and a "
      "way out would be sensible.",
      "There are fresh tracks on the road to {place}, and they are not ours. Caution costs little tonight, and "
      "{goal} can wait until morning."}},
    {{"The danger around {topic} is real, near and getting nearer. Get {name} out of {place} before the way is "
      "closed. What is left behind can be replaced, and lives cannot.",
      "This is no drill: {place} is under threat, and the first defences have failed. Stay together, save your "
      "strength, and do nothing for show. Help is far away, and {other} will not wait for it.",
      "Every warning about {topic} has come true at once. The ground in {place} is not safe to stand on, and the "
      "dark makes it worse. Move now, move quietly, and let {goal} go for as long as it takes."}},
    {{"Run! The worst that anyone feared about {topic} is here, and nothing in {place} can stop it. Walls, weapons "
      "and plans have already failed. Leave {resource}, leave the dead, and carry the children first. If {name} is to "
      "live through this night, every second counts from now.",
      "The sky over {place} is the wrong colour, and the ground will not be still. What was a danger from {topic} "
      "yesterday is the end of everything today. No wall, no prayer and no bargain with {other} will turn it away. "
      "Find the deepest shelter, hold on to one another, and wait for whatever comes after.",
      "There is no shelter left, in {place} or anywhere within reach of it. All that could be lost to {topic} is "
      "lost, and it is not over. Signals have gone unanswered for hours, and the last watch has fallen silent. "
      "Whoever can hear this should get away by any means and owe nobody an apology for it."}},
}};

/// In the order of ProblemType.
inline constexpr std::array<const Bands*, kProblemTypeCount> kTexts{
    &kGeneral, &kDialogue, &kDecision, &kAnalysis, &kSummary, &kConflict, &kShortage, &kDanger,
};

/// The word for a placeholder without a value; empty for a name that no text may use.
constexpr std::string_view default_for(std::string_view name) noexcept {
  for (const Default& one : kDefaults) {
    if (one.name == name) return one.word;
  }
  return {};
}

/// Whether there is a text, and its braces pair up around names that have a default, behind the first word of a
/// sentence.
constexpr bool well_formed(std::string_view text) noexcept {
  for (std::size_t at = 0;;) {
    const std::size_t open = text.find_first_of("{}", at);
    if (open == std::string_view::npos) return !text.empty();
    if (text[open] != '{' || open < 2 || text[open - 2] == '.' || text[open - 2] == '!') return false;
    const std::size_t close = text.find_first_of("{}", open + 1);
    if (close == std::string_view::npos || text[close] != '}') return false;
    if (default_for(text.substr(open + 1, close - open - 1)).empty()) return false;
    at = close + 1;
  }
}

constexpr bool all_well_formed() noexcept {
  for (const Bands* bands : kTexts) {
    for (const Choices& choices : *bands) {
      for (const std::string_view text : choices) {
        if (!well_formed(text)) return false;
      }
    }
  }
  return true;
}
static_assert(all_well_formed());

}  // namespace llmcore::offline
