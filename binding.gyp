{
  "targets": [
    {
      "target_name": "ts_filter_addon",
      "sources": ["<!@(ls cpp/shm/*.cc cpp/addon/*.cc)"],
      "include_dirs": ["cpp", "<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS"],
      "cflags": ["-fvisibility=hidden", "-fno-omit-frame-pointer", "-Wall", "-Wextra"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++20"],
      "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,-z,nodelete"]
    }
  ]
}
