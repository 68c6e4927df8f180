// Stands before Node's own node_object_wrap.h and takes the environment clean-up hooks out of node::ObjectWrap.
//
// From Node 24.19 on its constructor adds such a hook and its destructor removes it, and the removal aborts the
// process when no context is entered: so whenever the garbage collector finalises a Statement from a platform
// task, or while a worker ends. better-sqlite3 12 derives its objects from this class and has a clean-up of its
// own for the whole addon, so it needs none of these hooks. See nodejs/node issue 65446.
#pragma once

#include <node.h>

namespace node {
inline void WithoutCleanupHook(v8::Isolate *, void (*)(void *), void *) {}
} // namespace node

#define AddEnvironmentCleanupHook WithoutCleanupHook
#define RemoveEnvironmentCleanupHook WithoutCleanupHook
#include_next <node_object_wrap.h>
#undef AddEnvironmentCleanupHook
#undef RemoveEnvironmentCleanupHook
