plugins {
    id("com.android.application")
}

android {
    namespace = "convnext.edge.sample"
    compileSdk = 36

    defaultConfig {
        applicationId = "convnext.edge.sample"
        minSdk = 24
        targetSdk = 36
        versionCode = 1
        versionName = "1.0"
    }
}

dependencies {
    implementation(project(":classifier"))
}
