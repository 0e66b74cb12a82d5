plugins {
    id("com.android.library")
}

android {
    namespace = "convnext.edge"
    compileSdk = 36

    defaultConfig {
        minSdk = 24 // what ONNX Runtime asks for
    }
}

dependencies {
    implementation("com.microsoft.onnxruntime:onnxruntime-android:1.27.0")
}
