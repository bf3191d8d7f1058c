#include "llmcore/fingerprint.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

std::string sha256(std::string_view message) {
  Sha256 sha;
  sha.update(message);
  return sha.finish().hex();
}

// The examples that NIST publishes for FIPS 180-4, and the empty message.
TEST(Sha256, MatchesTheStandardsExamples) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
                   "mnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(sha256("\xbd"), "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b");
  EXPECT_EQ(sha256("\xc9\x8c\x8e\x55"), "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504");
}

// Where the padding turns from one last block to two, and where a block is exactly full.
TEST(Sha256, PadsEveryLengthAroundABlock) {
  const std::vector<std::pair<std::size_t, const char*>> zeros = {
      {1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
      {54, "ea659cdc838619b3767c057fdf8e6d99fde2680c5d8517eb06761c0878d40c40"},
      {55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
      {56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
      {57, "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"},
      {63, "c7723fa1e0127975e49e62e753db53924c1bd84b8ac1ac08df78d09270f3d971"},
      {64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
      {65, "98ce42deef51d40269d542f5314bef2c7468d401ad5d85168bfab4c0108f75f7"},
      {119, "f616b0d54e78571a9611f343c9f8e022e859e920381ab0e4d3da01e193a7bd7e"},
      {120, "6edd9f6f9cc92cded36e6c4a580933f9c9f1b90562b46903b806f21902a1a54f"},
      {127, "15dae5979058bfbf4f9166029b6e340ea3ca374fef578a11dc9e6e923860d7ae"},
      {128, "38723a2e5e8a17aa7950dc008209944e898f69a7bd10a23c839d341e935fd5ca"},
      {129, "2c80619d7e7c58257293cda3a878c13e5856f4e06f6f90601276f7b9179c9e07"},
      {1000, "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53"},
  };
  for (const auto& [size, digest] : zeros) EXPECT_EQ(sha256(std::string(size, '\0')), digest) << size;
}

TEST(Sha256, DoesNotDependOnHowTheMessageIsCut) {
  Rng rng(1);
  std::string message;
  for (int i = 0; i < 1'000; ++i) message += static_cast<char>(rng.below(256));
  const std::string whole = sha256(message);
  for (int round = 0; round < 500; ++round) {
    Sha256 sha;
    for (std::size_t at = 0; at < message.size();) {
      const std::size_t size = static_cast<std::size_t>(rng.below(round % 2 == 0 ? 70 : 300));
      sha.update(std::string_view(message).substr(at, size));
      at += size;
    }
    ASSERT_EQ(sha.finish().hex(), whole);
  }
}

TEST(Sha256, IsTheSameWithAndWithoutTheProcessorsInstructions) {
  const detail::Sha256Blocks accelerated = detail::sha256_blocks_accelerated();
  if (accelerated == nullptr) GTEST_SKIP() << "this processor has no SHA instructions";
  Rng rng(2);
  for (int round = 0; round < 500; ++round) {
    std::vector<std::uint8_t> blocks(64 * (1 + static_cast<std::size_t>(rng.below(5))));
    for (std::uint8_t& byte : blocks) byte = static_cast<std::uint8_t>(rng.below(256));
    std::array<std::uint32_t, 8> a;
    for (std::uint32_t& word : a) word = static_cast<std::uint32_t>(rng.next());
    std::array<std::uint32_t, 8> b = a;
    detail::sha256_blocks_portable(a, blocks.data(), blocks.size() / 64);
    accelerated(b, blocks.data(), blocks.size() / 64);
    ASSERT_EQ(a, b);
  }
}

// On a machine with SHA instructions the examples above never meet the portable code; here they do.
TEST(Sha256, PortableCodeMatchesTheStandardsExample) {
  std::array<std::uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block{};
  block[0] = 'a';
  block[1] = 'b';
  block[2] = 'c';
  block[3] = 0x80;
  block[63] = 24;
  detail::sha256_blocks_portable(state, block.data(), 1);
  const std::array<std::uint32_t, 8> expected = {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
                                                 0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad};
  EXPECT_EQ(state, expected);
}

// A change here orphans every stored key: raise kFingerprintVersion with it.
TEST(Fingerprint, KeepsItsLayout) {
  static_assert(kFingerprintVersion == 1);
  EXPECT_EQ(fingerprint("", "", "", "").hex(), "d500d8e91aa650dc40b696a64455b45681a7ad600c79391a80b84bcae4ce4930");
  EXPECT_EQ(fingerprint("default", "openai", "gpt-4o-mini", R"({"messages":[{"content":"hi","role":"user"}]})").hex(),
            "07db59febfb6ef3a9ff13df5e7b0494045e422db83305dc2cc9c627bc7b84fba");
}

TEST(Fingerprint, TellsRequestsApartThatDifferOnlyInWhereAFieldEnds) {
  std::set<Fingerprint> seen;
  seen.insert(fingerprint("ab", "c", "d", "e"));
  seen.insert(fingerprint("a", "bc", "d", "e"));
  seen.insert(fingerprint("a", "b", "cd", "e"));
  seen.insert(fingerprint("a", "b", "c", "de"));
  seen.insert(fingerprint("", "abcd", "e", ""));
  seen.insert(fingerprint("e", "d", "c", "ab"));
  EXPECT_EQ(seen.size(), 6U);
}

TEST(Fingerprint, KeepsTenantsApart) {
  EXPECT_NE(fingerprint("one", "openai", "gpt-4o", "{}"), fingerprint("two", "openai", "gpt-4o", "{}"));
}

TEST(FingerprintHash, IsMadeOfTheFirstBytesOnEveryPlatform) {
  Fingerprint f;
  for (std::size_t i = 0; i < f.bytes.size(); ++i) f.bytes[i] = static_cast<std::uint8_t>(i + 1);
  const auto hash = static_cast<std::uint32_t>(FingerprintHash{}(f));
  EXPECT_EQ(hash, 0x04030201U);
}

}  // namespace
}  // namespace llmcore
