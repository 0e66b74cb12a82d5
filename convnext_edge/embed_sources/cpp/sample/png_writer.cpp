// PNG (ISO/IEC 15948) with the blocks of deflate that store bytes as they are (RFC 1951, 3.2.4).
#include "png_writer.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <system_error>

#include "convnext_edge.hpp"

namespace {

using convnext_edge::UsageError;

constexpr std::size_t kHead = 8 + 25;          // bytes of the signature and of the chunk IHDR
constexpr std::size_t kMostStored = 65535;     // bytes of a stored block
const std::string kSignature = "\x89PNG\r\n\x1a\n";
const std::string kMadeBy = std::string("Software") + '\0' + "convnext-edge classify";  // by which a file of ours is known

std::string big_endian(std::uint32_t value) {
    std::string made;
    for (unsigned shift = 32; shift > 0; shift -= 8) made += static_cast<char>(value >> (shift - 8) & 0xffU);
    return made;
}

/// CRC-32 of Annex D.
std::uint32_t crc(const std::string& bytes) {
    static const auto table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t n = 0; n < 256; ++n) {
            made[n] = n;
            for (int bit = 0; bit < 8; ++bit) made[n] = made[n] >> 1U ^ (made[n] & 1U ? 0xedb88320U : 0U);
        }
        return made;
    }();
    std::uint32_t value = 0xffffffffU;
    for (const char byte : bytes) value = value >> 8U ^ table[(value ^ static_cast<std::uint8_t>(byte)) & 0xffU];
    return ~value;
}

/// The checksum of zlib's format (RFC 1950).
std::uint32_t adler(const std::string& bytes) {
    std::uint32_t sum = 1;
    std::uint32_t sums = 0;
    for (const char byte : bytes) {
        sum = (sum + static_cast<std::uint8_t>(byte)) % 65521;
        sums = (sums + sum) % 65521;
    }
    return sums << 16U | sum;
}

std::string chunk(const std::string& kind, const std::string& bytes) {
    return big_endian(static_cast<std::uint32_t>(bytes.size())) + kind + bytes + big_endian(crc(kind + bytes));
}

std::string stored(const std::string& bytes) {
    std::string made = "\x78\x01";
    for (std::size_t at = 0; at < bytes.size(); at += kMostStored) {
        const std::size_t count = std::min(kMostStored, bytes.size() - at);
        made += static_cast<char>(at + count == bytes.size());  // whether it is the last block
        for (const std::size_t size : {count, kMostStored - count}) {
            made += static_cast<char>(size & 0xffU);
            made += static_cast<char>(size >> 8U);
        }
        made.append(bytes, at, count);
    }
    return made + big_endian(adler(bytes));
}

/// The rows of an image, each behind the number of its filter: 0 for none.
std::string rows_of(const Drawing& drawing) {
    const std::size_t length = drawing.samples.size() / static_cast<std::size_t>(drawing.height);
    std::string made;
    for (auto row = drawing.samples.begin(); row != drawing.samples.end(); row += static_cast<std::ptrdiff_t>(length)) {
        made += '\0';
        made.append(row, row + static_cast<std::ptrdiff_t>(length));
    }
    return made;
}

std::string file_of(const Drawing& drawing) {
    const bool indexed = !drawing.palette.empty();
    const std::string kind = {8, indexed ? '\3' : '\2', 0, 0, 0};  // bits; RGB or palette; nothing special
    std::string colors;
    for (const auto& color : drawing.palette) colors.append(color.begin(), color.end());
    const std::string size =
        big_endian(static_cast<std::uint32_t>(drawing.width)) + big_endian(static_cast<std::uint32_t>(drawing.height));
    return kSignature + chunk("IHDR", size + kind) + chunk("tEXt", kMadeBy) +
           (indexed ? chunk("PLTE", colors) : "") + chunk("IDAT", stored(rows_of(drawing))) + chunk("IEND", "");
}

bool is_ours(const std::filesystem::path& place) {
    const std::string expected = chunk("tEXt", kMadeBy);
    std::string found(kHead + expected.size(), '\0');
    std::ifstream file(place, std::ios::binary);
    file.read(found.data(), static_cast<std::streamsize>(found.size()));
    return file && found.compare(0, kSignature.size(), kSignature) == 0 && found.compare(kHead, found.npos, expected) == 0;
}

}  // namespace

void write_png(const std::filesystem::path& place, const Drawing& drawing) {
    std::error_code failed;
    if (std::filesystem::exists(place, failed) && !is_ours(place)) {
        throw UsageError(place.string() + " would take the place of a file that classify did not write" +
                         "\nName another folder.");
    }
    const std::filesystem::path part = place.string() + ".part";
    std::ofstream file(part, std::ios::binary | std::ios::trunc);
    const std::string bytes = file_of(drawing);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (file) std::filesystem::rename(part, place, failed);
    if (!file || failed) {
        std::filesystem::remove(part, failed);
        throw UsageError(place.string() + " cannot be written\nName another folder, with enough space.");
    }
}
