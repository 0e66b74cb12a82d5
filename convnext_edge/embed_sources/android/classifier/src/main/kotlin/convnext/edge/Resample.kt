package convnext.edge

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

// Resizing as Pillow does it (see "Filters" in its handbook, docs/handbook/concepts.rst): the kernel is stretched by
// the factor of reduction, evaluated in double precision at the centres of the source pixels and normalized to a sum
// of 1; weights are rounded to fixed point; rows and columns are resized in turn, with 8-bit samples in between.

private const val PRECISION = 32 - 8 - 2 // bits behind a weight's point: 32, less 8 of a sample, 2 for what overshoots
private const val HALF = 1 shl (PRECISION - 1)

private fun sinc(x: Double): Double = if (x == 0.0) 1.0 else sin(PI * x) / (PI * x)

/** Keys' cubic convolution with a = -0.5. */
private fun bicubic(x: Double): Double {
    val a = -0.5
    val d = abs(x)
    return when {
        d < 1.0 -> ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
        d < 2.0 -> (((d - 5.0) * d + 8.0) * d - 4.0) * a
        else -> 0.0
    }
}

/** A kernel as Pillow defines it: its half width, and its value at a distance in (scaled) pixels. */
internal enum class Filter(val support: Double, val at: (Double) -> Double) {
    BICUBIC(2.0, ::bicubic),
    BILINEAR(1.0, { max(0.0, 1.0 - abs(it)) }),
    BOX(0.5, { if (it > -0.5 && it <= 0.5) 1.0 else 0.0 }),
    HAMMING(1.0, { if (abs(it) < 1.0) sinc(it) * (0.54 + 0.46 * cos(PI * it)) else 0.0 }),
    LANCZOS(3.0, { if (it >= -3.0 && it < 3.0) sinc(it) * sinc(it / 3.0) else 0.0 });

    val label: String = name.lowercase()

    companion object {
        /** The kernel of that name. Throws ArtifactException. */
        fun find(label: String): Filter = entries.find { it.label == label } ?: throw ArtifactException(
            "interpolation '$label' is not known",
            "Known: ${entries.joinToString { it.label }}.",
        )
    }
}

/** Along one axis: which source pixels make the outputs `first` to `first + count`, and how much of each. */
internal class Taps(filter: Filter, source: Int, target: Int, first: Int, val count: Int) {
    private val scale = source.toDouble() / target
    private val stretch = max(scale, 1.0)
    private val width = 2 * ceil(filter.support * stretch).toInt() + 1 // most weights of an output
    private val begins = IntArray(count)
    private val ends = IntArray(count)
    private val weights = IntArray(count * width)

    /** The first source pixel of the first output. */
    val begin: Int get() = begins.first()

    /** Behind the last source pixel of the last output. */
    val end: Int get() = ends.last()

    init {
        for (output in 0 until count) compute(filter, (first.toDouble() + output + 0.5) * scale, source, output)
    }

    fun begin(output: Int): Int = begins[output]

    fun end(output: Int): Int = ends[output]

    /** In fixed point. */
    fun weight(output: Int, pixel: Int): Int = weights[width * output + pixel - begins[output]]

    private fun compute(filter: Filter, centre: Double, source: Int, output: Int) {
        val support = filter.support * stretch
        val inverse = 1.0 / stretch
        val begin = max((centre - support + 0.5).toInt(), 0)
        val end = max(min((centre + support + 0.5).toInt(), source), begin)
        val exact = DoubleArray(end - begin) { filter.at((it.toDouble() + begin - centre + 0.5) * inverse) }
        val sum = exact.sum()
        exact.forEachIndexed { i, value ->
            val weight = (if (sum != 0.0) value / sum else value) * (1 shl PRECISION)
            weights[width * output + i] = (if (weight < 0) weight - 0.5 else weight + 0.5).toInt()
        }
        begins[output] = begin
        ends[output] = end
    }
}

/**
 * A part of an image: rows of `width` pixels as 0xRRGGBB (what is above does not count). `left`, `top`: which pixel of
 * the image the first one is.
 */
internal class Pixels(val values: IntArray, val width: Int, val left: Int = 0, val top: Int = 0)

/** Fixed-point sums of the three channels, which begin with HALF, as a pixel. */
private fun pack(red: Int, green: Int, blue: Int): Int =
    (sample(red) shl 16) or (sample(green) shl 8) or sample(blue)

private fun sample(sum: Int): Int = (sum shr PRECISION).coerceIn(0, 255)

/** Resizes the rows from `first` to `last` (of the image) to `taps.count` pixels each. */
internal fun resizeRows(source: Pixels, first: Int, last: Int, taps: Taps): Pixels {
    val made = IntArray((last - first) * taps.count)
    for (y in first until last) {
        val start = (y - source.top) * source.width - source.left
        for (x in 0 until taps.count) {
            var red = HALF
            var green = HALF
            var blue = HALF
            for (i in taps.begin(x) until taps.end(x)) {
                val weight = taps.weight(x, i)
                val pixel = source.values[start + i]
                red += weight * (pixel shr 16 and 255)
                green += weight * (pixel shr 8 and 255)
                blue += weight * (pixel and 255)
            }
            made[(y - first) * taps.count + x] = pack(red, green, blue)
        }
    }
    return Pixels(made, taps.count, top = first)
}

/** Resizes the columns from `first` to `last` (of the image) to `taps.count` pixels each. */
internal fun resizeColumns(source: Pixels, first: Int, last: Int, taps: Taps): Pixels {
    val width = last - first
    val made = IntArray(taps.count * width)
    val sums = IntArray(3 * width)
    for (y in 0 until taps.count) {
        sums.fill(HALF)
        for (row in taps.begin(y) until taps.end(y)) {
            val weight = taps.weight(y, row)
            val start = (row - source.top) * source.width - source.left + first
            for (x in 0 until width) {
                val pixel = source.values[start + x]
                sums[3 * x] += weight * (pixel shr 16 and 255)
                sums[3 * x + 1] += weight * (pixel shr 8 and 255)
                sums[3 * x + 2] += weight * (pixel and 255)
            }
        }
        for (x in 0 until width) made[y * width + x] = pack(sums[3 * x], sums[3 * x + 1], sums[3 * x + 2])
    }
    return Pixels(made, width, left = first)
}
