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
// PyTorch resizes 8-bit tensors in the same way with fewer bits (aten/src/ATen/native/cpu/UpSampleKernel.cpp).

private const val PRECISION = 32 - 8 - 2 // bits behind a weight's point: 32, less 8 of a sample, 2 for what overshoots
private const val TENSOR_BITS = 15 // of a weight of PyTorch's, beside the sign

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

/**
 * A kernel as Pillow defines it: its half width, and its value at a distance in (scaled) pixels. ofTensors: whether
 * PyTorch resizes 8-bit tensors with it.
 */
internal enum class Filter(val support: Double, val ofTensors: Boolean = false, val at: (Double) -> Double) {
    BICUBIC(2.0, true, ::bicubic),
    BILINEAR(1.0, true, { max(0.0, 1.0 - abs(it)) }),
    BOX(0.5, at = { if (it > -0.5 && it <= 0.5) 1.0 else 0.0 }),
    HAMMING(1.0, at = { if (abs(it) < 1.0) sinc(it) * (0.54 + 0.46 * cos(PI * it)) else 0.0 }),
    LANCZOS(3.0, at = { if (it >= -3.0 && it < 3.0) sinc(it) * sinc(it / 3.0) else 0.0 }),
    NEAREST(0.0, at = { 1.0 }); // of one pixel, whose place is found in another way

    val label: String = name.lowercase()

    companion object {
        /** The kernel of that name. Throws ArtifactException. */
        fun find(label: String): Filter = entries.find { it.label == label } ?: throw ArtifactException(
            "interpolation '$label' is not known",
            "Known: ${entries.joinToString { it.label }}.",
        )
    }
}

/**
 * Along one axis: which source pixels make the outputs `first` to `first + count`, and how much of each. ofTensors:
 * whether weights have 16 bits, as PyTorch's.
 */
internal class Taps(
    private val filter: Filter,
    private val source: Int,
    private val target: Int,
    first: Int,
    val count: Int,
    ofTensors: Boolean,
) {
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

    /** Behind the point of a weight. */
    private val bits = if (ofTensors && filter.ofTensors) bitsFor(largest()) else PRECISION

    /** What a sum of weighted samples begins with, so that it is rounded. */
    val half = (1 shl bits) shr 1

    init {
        if (filter == Filter.NEAREST) {
            computeNearest(first)
        } else {
            for (output in 0 until count) round(exact(first.toDouble() + output), output)
        }
    }

    fun begin(output: Int): Int = begins[output]

    fun end(output: Int): Int = ends[output]

    /** In fixed point. */
    fun weight(output: Int, pixel: Int): Int = weights[width * output + pixel - begins[output]]

    /** Fixed-point sums of the three channels, which began with `half`, as a pixel. */
    fun pack(red: Int, green: Int, blue: Int): Int = (sample(red) shl 16) or (sample(green) shl 8) or sample(blue)

    private fun sample(sum: Int): Int = (sum shr bits).coerceIn(0, 255)

    /** Of all outputs of the axis. */
    private fun largest(): Double = (0 until target).maxOf { exact(it.toDouble()).second.maxOrNull() ?: 0.0 }

    /** As many bits as let the largest weight fit into 16, with its sign. */
    private fun bitsFor(largest: Double): Int =
        (0 until PRECISION).firstOrNull { (0.5 + largest * (1 shl (it + 1))).toInt() >= 1 shl TENSOR_BITS } ?: PRECISION

    /** The first source pixel of an output, and how much of each from there on. */
    private fun exact(output: Double): Pair<Int, DoubleArray> {
        val centre = (output + 0.5) * scale
        val support = filter.support * stretch
        val inverse = 1.0 / stretch
        val begin = max((centre - support + 0.5).toInt(), 0)
        val end = max(min((centre + support + 0.5).toInt(), source), begin)
        val exact = DoubleArray(end - begin) { filter.at((it.toDouble() + begin - centre + 0.5) * inverse) }
        val sum = exact.sum()
        if (sum != 0.0) for (i in exact.indices) exact[i] /= sum
        return Pair(begin, exact)
    }

    private fun round(found: Pair<Int, DoubleArray>, output: Int) {
        val (begin, exact) = found
        exact.forEachIndexed { i, value ->
            val weight = value * (1 shl bits)
            weights[width * output + i] = (if (weight < 0) weight - 0.5 else weight + 0.5).toInt()
        }
        begins[output] = begin
        ends[output] = begin + exact.size
    }

    /** Adds the scale up from output to output, as Pillow does, whose rounding shows where a middle is an edge. */
    private fun computeNearest(first: Int) {
        var place = scale * 0.5
        repeat(first) { place += scale }
        for (output in 0 until count) {
            round(Pair(min(place.toInt(), source - 1), doubleArrayOf(1.0)), output)
            place += scale
        }
    }
}

/**
 * A part of an image: rows of `width` pixels as 0xRRGGBB (what is above does not count). `left`, `top`: which pixel of
 * the image the first one is.
 */
internal class Pixels(val values: IntArray, val width: Int, val left: Int = 0, val top: Int = 0)

/** Resizes the rows from `first` to `last` (of the image) to `taps.count` pixels each. */
internal fun resizeRows(source: Pixels, first: Int, last: Int, taps: Taps): Pixels {
    val made = IntArray((last - first) * taps.count)
    for (y in first until last) {
        val start = (y - source.top) * source.width - source.left
        for (x in 0 until taps.count) {
            var red = taps.half
            var green = taps.half
            var blue = taps.half
            for (i in taps.begin(x) until taps.end(x)) {
                val weight = taps.weight(x, i)
                val pixel = source.values[start + i]
                red += weight * (pixel shr 16 and 255)
                green += weight * (pixel shr 8 and 255)
                blue += weight * (pixel and 255)
            }
            made[(y - first) * taps.count + x] = taps.pack(red, green, blue)
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
        sums.fill(taps.half)
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
        for (x in 0 until width) made[y * width + x] = taps.pack(sums[3 * x], sums[3 * x + 1], sums[3 * x + 2])
    }
    return Pixels(made, width, left = first)
}
