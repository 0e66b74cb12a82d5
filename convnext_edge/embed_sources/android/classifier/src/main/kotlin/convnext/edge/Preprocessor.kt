package convnext.edge

import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** Pixels as Android's `Bitmap.getPixels` gives them: 0xAARRGGBB by rows; alpha is left out of account. */
class Image(val pixels: IntArray, val width: Int, val height: Int)

/** Where an image lies in the input: its size there before the crop, and the place of its upper left corner. */
internal class Fit(val width: Long, val height: Long, val left: Int, val top: Int)

/** Resize, padding, centre crop and normalization, as convnext_edge/images/transform.py does them. */
internal class Preprocessor(private val manifest: Manifest) {
    private val filter = Filter.find(manifest.interpolation)
    private val rows = manifest.resolution
    private val columns = manifest.width
    private val corner = manifest.resizeMode == ResizeMode.CORNER

    /** (value / 255 - mean) / std by channel, in float32 as NumPy computes it; (3, 256). */
    private val normalized = FloatArray(3 * 256) {
        val channel = it shr 8
        ((it and 255).toFloat() / 255f - manifest.mean[channel].toFloat()) / manifest.std[channel].toFloat()
    }

    /** What the model sees: (resolution, width) pixels as 0xRRGGBB. Throws ImageException. */
    fun prepare(image: Image): IntArray {
        check(image)
        val (width, height) = resized(image)
        if (width * height > MAX_PIXELS || min(width, height) < 1) {
            throw ImageException("${image.width}x${image.height} pixels are too elongated to resize")
        }
        val (inRow, inColumn) = Pair(overlap(width, columns), overlap(height, rows))
        val across = Taps(filter, image.width, width.toInt(), inRow.first, inRow.count, manifest.ofTensors)
        val down = Taps(filter, image.height, height.toInt(), inColumn.first, inColumn.count, manifest.ofTensors)
        val whole = Pixels(image.pixels, image.width)
        val made = if (!manifest.ofTensors && columnsFirst(image, width, height)) {
            resizeRows(resizeColumns(whole, across.begin, across.end, down), 0, down.count, across)
        } else {
            resizeColumns(resizeRows(whole, down.begin, down.end, across), 0, across.count, down)
        }
        return pad(made.values, inRow, inColumn)
    }

    /** Where the resized image and the input overlap along one axis: from the first pixel of each, and how many. */
    private class Overlap(val first: Int, val count: Int, val place: Int)

    private fun overlap(resized: Long, edge: Int): Overlap = when {
        resized < edge -> Overlap(0, resized.toInt(), if (corner) 0 else ((edge - resized) / 2).toInt())
        corner -> Overlap(0, edge, 0)
        manifest.roundDown -> Overlap(((resized - edge) / 2).toInt(), edge, 0)
        else -> Overlap(half(resized - edge), edge, 0)
    }

    /** Where an image lies in the input. */
    fun fit(image: Image): Fit {
        val (width, height) = resized(image)
        val (inRow, inColumn) = Pair(overlap(width, columns), overlap(height, rows))
        return Fit(width, height, inRow.place - inRow.first, inColumn.place - inColumn.first)
    }

    /** Lays (count of `down`, count of `across`) pixels into an image of the input's size. */
    private fun pad(pixels: IntArray, across: Overlap, down: Overlap): IntArray {
        if (across.count == columns && down.count == rows) return pixels
        val (red, green, blue) = manifest.padColor
        val padded = IntArray(rows * columns) { (red shl 16) or (green shl 8) or blue }
        for (y in 0 until down.count) {
            val start = columns * (down.place + y) + across.place
            pixels.copyInto(padded, start, across.count * y, across.count * (y + 1))
        }
        return padded
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
        fun before(edge: Int): Long = manifest.resize?.toLong() ?: floor(edge / manifest.crop).toLong()
        val (short, wide) = Pair(before(rows), before(columns))
        if (manifest.resizeMode == ResizeMode.SQUASH) return Pair(wide, short)
        val inside = corner || manifest.resizeMode == ResizeMode.PAD
        if (inside || short != wide) {
            // timm's ResizeKeepRatio: the image lies within both edges, or covers them; halves go to the even number
            val (down, across) = Pair(image.height.toDouble() / short, image.width.toDouble() / wide)
            val ratio = if (inside) max(down, across) else min(down, across)
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
