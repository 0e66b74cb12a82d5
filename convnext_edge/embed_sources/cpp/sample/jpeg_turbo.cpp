// JPEG by libjpeg-turbo, which Pillow has too: the same pixels, bit by bit.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <string>

#include "formats.hpp"
// after <cstdio>, which they need
#include <jpeglib.h>
#include <jerror.h>

namespace {

using convnext_edge::ImageError;

/// libjpeg is C: it leaves by a jump where it cannot go on.
struct Failure {
    jpeg_error_mgr manager;
    std::jmp_buf back;
    char text[JMSG_LENGTH_MAX];
};

void leave(j_common_ptr state) {
    auto* const failure = reinterpret_cast<Failure*>(state->err);
    state->err->format_message(state, failure->text);
    std::longjmp(failure->back, 1);
}

/// A file that ends early is refused, other warnings are passed over; both as Pillow does it.
void warn(j_common_ptr state, int level) {
    if (level < 0 && state->err->msg_code == JWRN_JPEG_EOF) leave(state);
}

class JpegDecoder {
   public:
    JpegDecoder() {
        state_.err = jpeg_std_error(&failure_.manager);
        failure_.manager.error_exit = leave;
        failure_.manager.emit_message = warn;
    }
    ~JpegDecoder() { jpeg_destroy_decompress(&state_); }
    JpegDecoder(const JpegDecoder&) = delete;
    JpegDecoder& operator=(const JpegDecoder&) = delete;

    Picture picture(const Bytes& file) {
        guarded([&] {
            jpeg_create_decompress(&state_);
            jpeg_mem_src(&state_, file.data(), static_cast<unsigned long>(file.size()));
            jpeg_read_header(&state_, TRUE);
        });
        const bool ink = state_.num_components == 4;
        state_.out_color_space = ink ? JCS_CMYK : JCS_RGB;
        Picture made;
        allocate(made, state_.image_width, state_.image_height);
        const auto columns = static_cast<std::size_t>(made.width);
        std::vector<std::uint8_t> row((ink ? 4 : 3) * columns);
        guarded([&] {
            jpeg_start_decompress(&state_);
            while (state_.output_scanline < state_.output_height) {
                std::uint8_t* const to = made.rgb.data() + 3 * columns * state_.output_scanline;
                JSAMPROW place = ink ? row.data() : to;
                jpeg_read_scanlines(&state_, &place, 1);
                if (ink) without_ink(row.data(), columns, to);
            }
            jpeg_finish_decompress(&state_);
        });
        return made;
    }

   private:
    /// Makes an exception of a jump. `call` must own nothing that the jump would leave behind.
    template <typename Call>
    void guarded(Call call) {
        if (setjmp(failure_.back) != 0) throw ImageError(std::string("it cannot be decoded: ") + failure_.text);
        call();
    }

    /// CMYK, inverted as Adobe writes it, to RGB as Pillow computes it.
    static void without_ink(const std::uint8_t* from, std::size_t columns, std::uint8_t* to) {
        for (std::size_t column = 0; column < columns; ++column, from += 4, to += 3) {
            const int black = from[3];
            for (int channel = 0; channel < 3; ++channel) {
                const int scaled = (255 - from[channel]) * black + 128;
                to[channel] = static_cast<std::uint8_t>(std::max(0, black - (((scaled >> 8) + scaled) >> 8)));
            }
        }
    }

    Failure failure_{};
    jpeg_decompress_struct state_{};
};

}  // namespace

Picture decode_jpeg(const Bytes& file) { return JpegDecoder().picture(file); }
