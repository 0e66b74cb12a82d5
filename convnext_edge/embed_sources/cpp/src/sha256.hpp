#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace convnext_edge::detail {

/// SHA-256 as FIPS 180-4 defines it.
class Sha256 {
   public:
    void update(const std::uint8_t* data, std::size_t size);

    /// 64 hexadecimal digits; nothing may be added afterwards.
    std::string finish();

   private:
    void compress(const std::uint8_t* block);

    std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> block_{};
    std::size_t filled_ = 0;   // bytes of block_
    std::uint64_t total_ = 0;  // bytes so far
};

/// Digest of a file. Throws ArtifactError where it cannot be read.
std::string sha256(const std::filesystem::path& path);

}  // namespace convnext_edge::detail
