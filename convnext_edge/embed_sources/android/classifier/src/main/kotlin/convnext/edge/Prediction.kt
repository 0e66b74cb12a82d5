package convnext.edge

import kotlin.math.exp

/**
 * One class of an answer.
 *
 * index: position among the model's classes. logit: what the model computed. probability: softmax over all classes; of
 * multilabel the sigmoid of its own logit.
 */
data class Prediction(val index: Int, val label: String, val logit: Float, val probability: Float)

/** The `topK` likeliest classes, best first (the lower index first among equals). Throws UsageException. */
internal fun rank(logits: FloatArray, labels: List<String>, topK: Int): List<Prediction> {
    if (topK < 1) throw UsageException("topK $topK is less than 1", "Give a whole number from 1.")
    checkFinite("logits", logits)
    val order = logits.indices.sortedByDescending { logits[it] } // stable: equals stay in order
    val largest = logits[order.first()].toDouble()
    val sum = logits.sumOf { exp(it - largest) }
    return order.take(topK).map {
        Prediction(it, labels[it], logits[it], (exp(logits[it] - largest) / sum).toFloat())
    }
}

/** All labels in their order, each with a probability of its own. */
internal fun judge(logits: FloatArray, labels: List<String>): List<Prediction> {
    checkFinite("logits", logits)
    return labels.mapIndexed { index, label ->
        Prediction(index, label, logits[index], (1 / (1 + exp(-logits[index].toDouble()))).toFloat())
    }
}

/** Throws TargetException where a value of the output `name` is no number. */
internal fun checkFinite(name: String, values: FloatArray) {
    if (!values.all { it.isFinite() }) {
        throw TargetException("the $name are not finite", "Validate the engine: convnext-edge validate.")
    }
}
