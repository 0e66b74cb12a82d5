package convnext.edge

import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** Pixels as Android's `Bitmap.getPixels` gives them: 0xAARRGGBB by rows; alpha is left out of account. */
class Image(val pixels: IntArray, val width: Int, val height: Int)

/** Resize, centre crop and normalization, as convnext_edge/images/transform.py does them. */
internal class Preprocessor(private val manifest: Manifest) {
    private val filter = Filter.find(manifest.interpolation)
    private val rows = manifest.resolution
    private val columns = manifest.width

    /** (value / 255 - mean) / std by channel, in float32 as NumPy computes it; (3, 256). */
    private val normalized = FloatArray(3 * 256) {
        val channel = it shr 8
        ((it and 255).toFloat() / 255f - manifest.mean[channel].toFloat()) / manifest.std[channel].toFloat()
    }

    /** What the model sees: (resolution, width) pixels as 0xRRGGBB. Throws ImageException. */
    fun prepare(image: Image): IntArray {
        check(image)
        val (width, height) = resized(image)
        if (width * height > MAX_PIXELS) {
            throw ImageException("${image.width}x${image.height} pixels are too elongated to resize")
        }
        val across = Taps(filter, image.width, width.toInt(), half(width - columns), columns)
        val down = Taps(filter, image.height, height.toInt(), half(height - rows), rows)
        val whole = Pixels(image.pixels, image.width)
        val made = if (columnsFirst(image, width, height)) {
            resizeRows(resizeColumns(whole, across.begin, across.end, down), 0, rows, across)
        } else {
            resizeColumns(resizeRows(whole, down.begin, down.end, across), 0, columns, down)
        }
        return made.values
    }

    /** What `prepare` returned as planes of red, green and blue, normalized: (3, resolution, width). */
    fun floats(pixels: IntArray): FloatArray = FloatArray(3 * pixels.size) {
        val channel = it / pixels.size
        normalized[256 * channel + value(pixels, channel, it % pixels.size)]
    }

    /** The same as raw bytes. */
    fun bytes(pixels: IntArray): ByteArray = ByteArray(3 * pixels.size) {
        value(pixels, it / pixels.size, it % pixels.size).toByte()
    }

    private fun value(pixels: IntArray, channel: Int, index: Int): Int = pixels[index] shr (16 - 8 * channel) and 255

    /** Size before the crop. */
    private fun resized(image: Image): Pair<Long, Long> {
        if (manifest.squash) return Pair(columns.toLong(), rows.toLong())
        val short = floor(rows / manifest.crop).toLong()
        val wide = floor(columns / manifest.crop).toLong()
        if (short != wide) { // timm's ResizeKeepRatio: the image covers both edges; halves go to the even number
            val ratio = min(image.height.toDouble() / short, image.width.toDouble() / wide)
            return Pair(round(image.width / ratio).toLong(), round(image.height / ratio).toLong())
        }
        fun scaled(longer: Int, shorter: Int): Long = ((short * longer).toDouble() / shorter).toLong()
        if (image.width <= image.height) return Pair(short, scaled(image.height, image.width))
        return Pair(scaled(image.width, image.height), short)
    }

    private companion object {
        const val MAX_PIXELS = (1L shl 30) / 12 // of images/decoding.py

        fun check(image: Image) {
            val size = "${image.width}x${image.height}"
            if (image.width < 1 || image.height < 1) {
                throw ImageException("an image of $size pixels has none", "Give width and height from 1.")
            }
            if (image.width.toLong() * image.height > MAX_PIXELS) {
                throw ImageException("$size pixels, more than $MAX_PIXELS in all", "Make it smaller.")
            }
            if (image.pixels.size != image.width * image.height) {
                val what = "$size pixels are announced, ${image.pixels.size} given"
                throw ImageException(what, "Give one value a pixel, as Bitmap.getPixels does.")
            }
        }

        /**
         * Whether Pillow resizes the columns before the rows, which changes the rounding in between: since version
         * 13, where the height shrinks by more than twice as many pixels as the width (pull request 9549; found by
         * experiment).
         */
        fun columnsFirst(image: Image, width: Long, height: Long): Boolean =
            image.height > height && image.height - height > 2 * max(image.width - width, 0L)

        /** Half of a margin, with halves rounded to the even number, as Python's round() does. */
        fun half(margin: Long): Int {
            val down = Math.floorDiv(margin, 2L)
            return (if (margin % 2 != 0L && down % 2 != 0L) down + 1 else down).toInt()
        }
    }
}
