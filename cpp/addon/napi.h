// The one place that includes node-addon-api, so that every file has the same settings.
#pragma once

// While a thread is being terminated, events still come and calls into JavaScript fail with nothing to catch. Without
// this such a failure ends the whole process; with it the call simply has no result.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS

#include <napi.h>
