// PNG by libpng: 8-bit RGB without its alpha channel, as Pillow's convert("RGB") leaves it.
#include <csetjmp>
#include <cstring>
#include <new>
#include <string>

#include "formats.hpp"
#include <png.h>

namespace {

using convnext_edge::ImageError;

struct Source {
    const Bytes* file;
    std::size_t at;
};

void read_some(png_structp state, png_bytep to, std::size_t count) {
    auto* const source = static_cast<Source*>(png_get_io_ptr(state));
    if (source->file->size() - source->at < count) png_error(state, "it ends early");
    std::memcpy(to, source->file->data() + source->at, count);
    source->at += count;
}

void leave(png_structp state, const char* text) {
    std::strncpy(static_cast<char*>(png_get_error_ptr(state)), text, 99);
    png_longjmp(state, 1);
}

void ignore(png_structp, const char*) {}

class PngDecoder {
   public:
    explicit PngDecoder(const Bytes& file) : source_{&file, 0} {
        state_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, text_, leave, ignore);
        info_ = state_ == nullptr ? nullptr : png_create_info_struct(state_);
        if (info_ == nullptr) {
            png_destroy_read_struct(&state_, nullptr, nullptr);
            throw std::bad_alloc();
        }
        png_set_read_fn(state_, &source_, read_some);
    }
    ~PngDecoder() { png_destroy_read_struct(&state_, &info_, nullptr); }
    PngDecoder(const PngDecoder&) = delete;
    PngDecoder& operator=(const PngDecoder&) = delete;

    Picture picture() {
        guarded([&] {
            png_read_info(state_, info_);
            png_set_palette_to_rgb(state_);
            png_set_expand_gray_1_2_4_to_8(state_);
            png_set_strip_16(state_);
            png_set_gray_to_rgb(state_);
            png_set_strip_alpha(state_);
            png_set_interlace_handling(state_);
            png_read_update_info(state_, info_);
        });
        Picture made;
        allocate(made, png_get_image_width(state_, info_), png_get_image_height(state_, info_));
        const std::size_t stride = png_get_rowbytes(state_, info_);
        if (stride != 3 * static_cast<std::size_t>(made.width)) throw ImageError("it cannot be made RGB");
        std::vector<png_bytep> rows(static_cast<std::size_t>(made.height));
        for (std::size_t row = 0; row < rows.size(); ++row) rows[row] = made.rgb.data() + row * stride;
        guarded([&] {
            png_read_image(state_, rows.data());
            png_read_end(state_, nullptr);
        });
        return made;
    }

   private:
    /// Makes an exception of a jump. `call` must own nothing that the jump would leave behind.
    template <typename Call>
    void guarded(Call call) {
        if (setjmp(png_jmpbuf(state_)) != 0) throw ImageError(std::string("it cannot be decoded: ") + text_);
        call();
    }

    Source source_;
    char text_[100] = {};
    png_structp state_ = nullptr;
    png_infop info_ = nullptr;
};

}  // namespace

Picture decode_png(const Bytes& file) { return PngDecoder(file).picture(); }
