package convnext.edge

import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

private const val NONE = -1f // label of a place without a detection
private const val EDGE = 28 // rows and columns of a mask
private const val FRAMED = EDGE + 2 // with a border of zeros
private const val INSIDE = 0.5f // likelihood over which a pixel is of the object
private const val COVER = 0.4 // share of an object's colour in an overlay
private const val LINE = 2 // pixels
private const val OPAQUE = 0xFF shl 24

/** In pixels from the upper left corner. */
data class Box(val left: Double, val top: Double, val right: Double, val bottom: Double)

/**
 * Which pixels of a rectangle of a picture are of an object; outside, none is.
 *
 * left, top, width, height: in pixels of the picture. inside: (height, width), row by row.
 */
class Mask(val left: Int, val top: Int, val width: Int, val height: Int, val inside: BooleanArray)

/**
 * One object in a picture.
 *
 * index: position of its class among the model's. score: how sure the model is, from 0 to 1. box: in pixels of the picture,
 * within it. pictureWidth, pictureHeight: in pixels. whole: the box before it was cut off at the edges. likely: how likely
 * each part of that is of the object, row by row.
 */
class DetectedObject internal constructor(
    val index: Int,
    val label: String,
    val score: Float,
    val box: Box,
    val pictureWidth: Int,
    val pictureHeight: Int,
    private val whole: Box,
    private val likely: FloatArray,
) {
    /** As 0xRRGGBB: as in the overlays of `convnext-edge predict`. */
    val color: Int get() = colorOf(1 + index % 255)

    /** The pixels of the picture that are of it with a likelihood of more than a half. */
    fun mask(): Mask {
        val (across, down) = Pair(Span(whole.left, whole.right, pictureWidth), Span(whole.top, whole.bottom, pictureHeight))
        val (width, height) = Pair(across.end - across.first, down.end - down.first)
        val rows = List(FRAMED) { row -> FloatArray(FRAMED) { framed(row, it) } }
        val below = List(height) { Neighbours(down, down.first + it) }
        val inside = BooleanArray(width * height)
        for (x in 0 until width) {
            val beside = Neighbours(across, across.first + x)
            val column = FloatArray(FRAMED) { beside.mean(rows[it]) }
            for (y in 0 until height) inside[width * y + x] = below[y].mean(column) > INSIDE
        }
        return Mask(across.first, down.first, width, height, inside)
    }

    private fun framed(row: Int, column: Int): Float =
        if (row in 1..EDGE && column in 1..EDGE) likely[EDGE * (row - 1) + column - 1] else 0f
}

/** What the model sees, as `Model.prepare` returned it, below the masks and boxes of the objects in that. */
fun over(pixels: IntArray, width: Int, objects: List<DetectedObject>): Image {
    val mixed = FloatArray(3 * pixels.size) { (pixels[it / 3] shr (16 - 8 * (it % 3)) and 255).toFloat() }
    for (found in objects.reversed()) cover(mixed, width, found)
    val drawn = IntArray(pixels.size) {
        (0..2).fold(OPAQUE) { made, channel -> made or (round(mixed[3 * it + channel]).toInt() shl (16 - 8 * channel)) }
    }
    for (found in objects.reversed()) outline(drawn, width, found)
    return Image(drawn, width, pixels.size / width)
}

private fun cover(mixed: FloatArray, width: Int, found: DetectedObject) {
    val mask = found.mask()
    for (i in mask.inside.indices) {
        if (!mask.inside[i]) continue
        val start = 3 * (width * (mask.top + i / mask.width) + mask.left + i % mask.width)
        for (channel in 0..2) {
            val color = found.color shr (16 - 8 * channel) and 255
            mixed[start + channel] = ((1 - COVER).toFloat() * mixed[start + channel] + COVER * color).toFloat()
        }
    }
}

/** The pixels of Pillow's `rectangle`. */
private fun outline(pixels: IntArray, width: Int, found: DetectedObject) {
    val (left, top) = Pair(found.box.left.toInt(), found.box.top.toInt())
    val (right, bottom) = Pair(found.box.right.toInt(), found.box.bottom.toInt())
    // its lines leave their last pixel out, and those of a low box run upwards
    val (one, other) = Pair(top + LINE, bottom - LINE + 1)
    val sides = if (one < other) one until other else other + 1..one
    fun fill(columns: IntRange, rows: IntRange) {
        for (y in max(rows.first, 0)..min(rows.last, pixels.size / width - 1)) {
            for (x in max(columns.first, 0)..min(columns.last, width - 1)) pixels[width * y + x] = OPAQUE or found.color
        }
    }
    fill(left..right, top until top + LINE)
    fill(left..right, bottom - LINE + 1..bottom)
    fill(right - LINE + 1..right, sides)
    fill(left until left + LINE, sides)
}

/**
 * The objects whose score is higher than the threshold, the surest first.
 *
 * outputs: boxes, labels, scores and masks. width, height: of a picture that lies in the input as `fit` says. Throws
 * TargetException for a label that is none of the model's, and for a box outside of its input.
 */
internal fun objectsOf(
    outputs: List<Output>,
    labels: List<String>,
    firstLabel: Int,
    threshold: Float,
    width: Int,
    height: Int,
    fit: Fit,
    inputWidth: Int,
    inputHeight: Int,
): List<DetectedObject> {
    outputs.forEach { checkFinite(it.name, it.values) }
    val (boxes, classes, scores, masks) = outputs.map { it.values }
    return classes.indices.filter { classes[it] != NONE && scores[it] > threshold }.mapNotNull {
        val index = classes[it].toInt()
        if (index.toFloat() != classes[it] || index !in firstLabel until labels.size) {
            val what = "a label of the model is none of its ${labels.size} classes"
            throw TargetException(what, "Validate the engine: convnext-edge validate.")
        }
        val inside = (0 until 4).all { edge ->
            boxes[4 * it + edge] in -1f..1f + (if (edge % 2 == 0) inputWidth else inputHeight) // but for rounding
        }
        if (!inside) {
            val what = "a box of the model lies outside of its input"
            throw TargetException(what, "Validate the engine: convnext-edge validate.")
        }
        fun x(place: Float) = (place.toDouble() - fit.left) * (width / fit.width.toDouble())
        fun y(place: Float) = (place.toDouble() - fit.top) * (height / fit.height.toDouble())
        val whole = Box(x(boxes[4 * it]), y(boxes[4 * it + 1]), x(boxes[4 * it + 2]), y(boxes[4 * it + 3]))
        val box = whole.cutOff(width.toDouble(), height.toDouble())
        val likely = masks.copyOfRange(EDGE * EDGE * it, EDGE * EDGE * (it + 1))
        val seen = box.right > box.left && box.bottom > box.top // not in the padding alone
        if (seen) DetectedObject(index, labels[index], scores[it], box, width, height, whole, likely) else null
    }
}

/** What lies within a picture; of a box that lies beyond, nothing is left. */
private fun Box.cutOff(width: Double, height: Double) =
    Box(left.coerceIn(0.0, width), top.coerceIn(0.0, height), right.coerceIn(0.0, width), bottom.coerceIn(0.0, height))

/**
 * The pixels that a mask is drawn over along one axis, as torchvision's paste_masks_in_image has them: the box is as much
 * larger as the border makes the mask. Of these, those from `first` to `end` are in the picture, whose edge is given.
 */
private class Span(low: Double, high: Double, edge: Int) {
    private val centre = (low + high) / 2
    private val half = (high - low) / 2 * (FRAMED.toDouble() / EDGE)
    val begin = (centre - half).toInt()
    private val pixels = max((centre + half).toInt() - begin + 1, 1)
    val first = max(begin, 0)
    val end = max(min(begin + pixels, edge), first)
    val scale = (FRAMED.toDouble() / pixels).toFloat()
}

/** The two parts of a mask that a pixel lies between, and the share of the second; in float32, as NumPy computes it. */
private class Neighbours(span: Span, pixel: Int) {
    private val place = max(((pixel - span.begin).toFloat() + 0.5f) * span.scale - 0.5f, 0f)
    private val one = place.toInt()
    private val other = min(one + 1, FRAMED - 1)
    private val share = place - one

    fun mean(values: FloatArray): Float = values[one] * (1 - share) + values[other] * share
}
