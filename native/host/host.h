/* What the files of this addon share. N-API version 8 only, so that one source serves Node 20 to 26. */
#ifndef WEIR_HOST_H
#define WEIR_HOST_H

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <node_api.h>

/* Throws an Error with this code, and with `errno` when the number is not 0. Always NULL, for the caller to return. */
napi_value throw_error(napi_env env, const char *code, const char *text, int number);

/* peerCredentials(fd) -> {pid, uid, gid} */
napi_value peer_credentials(napi_env env, napi_callback_info info);

/* collectHeap() */
napi_value collect_heap(napi_env env, napi_callback_info info);

/* trimHeap() */
napi_value trim_heap(napi_env env, napi_callback_info info);

/* pressHeap() */
napi_value press_heap(napi_env env, napi_callback_info info);

/* unmapIdleFiles() -> bytes */
napi_value unmap_idle_files(napi_env env, napi_callback_info info);

/* clockSynchronised() -> boolean | undefined */
napi_value clock_synchronised(napi_env env, napi_callback_info info);

/* notifySend(path, text) */
napi_value notify_send(napi_env env, napi_callback_info info);

#endif
