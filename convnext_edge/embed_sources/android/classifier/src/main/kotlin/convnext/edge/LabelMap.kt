package convnext.edge

private const val OPAQUE = 0xFF shl 24

/**
 * The class of each pixel of an image, in the size that the model sees.
 *
 * classes: (height, width) positions among the model's classes, row by row.
 */
class LabelMap(val width: Int, val height: Int, val classes: IntArray) {
    /** The classes that pixels have, each with its share of them, the largest first. */
    fun shares(): List<Share> = classes.toList().groupingBy { it }.eachCount().toSortedMap()
        .map { (index, count) -> Share(index, count.toDouble() / classes.size) }
        .sortedByDescending { it.share } // stable: the lower index first among equals

    /** What the model sees, as `Model.prepare` returned it, below the colours of its classes. */
    fun over(pixels: IntArray): Image {
        val drawn = IntArray(pixels.size) { OPAQUE or mixed(pixels[it], colorOf(classes[it])) }
        return Image(drawn, width, height)
    }
}

/** The share of an image's pixels that are of one class, from 0 to 1. */
data class Share(val index: Int, val share: Double)

/**
 * A class as 0xRRGGBB: as in the files of `convnext-edge predict --maps`.
 *
 * Source: VOClabelcolormap of the VOC development kit (Everingham et al., 2010): the bits of the number, spread out.
 */
fun colorOf(index: Int): Int {
    val color = IntArray(3)
    var rest = index
    for (bit in 7 downTo 0) {
        for (channel in 0..2) color[channel] = color[channel] or ((rest shr channel and 1) shl bit)
        rest = rest shr 3
    }
    return (color[0] shl 16) or (color[1] shl 8) or color[2]
}

/** The class with the largest logit of each pixel, the lower index among equals. logits: (classes, height, width). */
internal fun labelMap(logits: FloatArray, width: Int, height: Int): LabelMap {
    checkFinite("logits", logits)
    val pixels = width * height
    val classes = IntArray(pixels)
    val largest = logits.copyOf(pixels)
    for (index in 1 until logits.size / pixels) {
        for (pixel in 0 until pixels) {
            val logit = logits[index * pixels + pixel]
            if (logit > largest[pixel]) {
                largest[pixel] = logit
                classes[pixel] = index
            }
        }
    }
    return LabelMap(width, height, classes)
}

private fun mixed(pixel: Int, color: Int): Int =
    (0..16 step 8).sumOf { shift -> mean(pixel shr shift and 255, color shr shift and 255) shl shift }

/** Of two bytes; of a half, the even one, as NumPy rounds. */
private fun mean(a: Int, b: Int): Int {
    val half = (a + b) / 2
    return half + ((a + b) and half and 1)
}
