/*
 * Keeps the addon loadable on glibc 2.28, the oldest one that Node itself runs on.
 *
 * A compiler with a newer glibc binds some functions to the versions of that glibc (pthread_create@GLIBC_2.34,
 * stat64@GLIBC_2.33, log@GLIBC_2.29 ...), and the addon would be refused by the loader of an older board. Those
 * functions are defined here once more, hidden inside the addon, and passed on to the version that every
 * glibc has had since the architecture was born. native/pack/symbols.mjs fails the build when a newer
 * version slips in.
 *
 * stat64 and its like are older than their symbols: up to 2.32 they were inline calls of __xstat64 with the
 * number of the struct layout, which the library still exports for old programs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>

#if defined(__x86_64__)
#define BASE "GLIBC_2.2.5"
#define STAT_LAYOUT 1
#elif defined(__aarch64__)
#define BASE "GLIBC_2.17"
#define STAT_LAYOUT 0
#elif defined(__arm__)
#define BASE "GLIBC_2.4"
#define STAT_LAYOUT 3
#else
#error "weir is built for x86-64, arm64 and armv7"
#endif

#define OLD(name) __asm__(".symver old_" #name "," #name "@" BASE)
#define HIDDEN __attribute__((visibility("hidden")))

/* Layouts are the caller's; only the pointer passes through. */
struct stat64;
extern int old___xstat64(int layout, const char *path, struct stat64 *out);
extern int old___lxstat64(int layout, const char *path, struct stat64 *out);
extern int old___fxstat64(int layout, int fd, struct stat64 *out);
OLD(__xstat64);
OLD(__lxstat64);
OLD(__fxstat64);
HIDDEN int stat64(const char *path, struct stat64 *out) { return old___xstat64(STAT_LAYOUT, path, out); }
HIDDEN int lstat64(const char *path, struct stat64 *out) { return old___lxstat64(STAT_LAYOUT, path, out); }
HIDDEN int fstat64(int fd, struct stat64 *out) { return old___fxstat64(STAT_LAYOUT, fd, out); }

extern double old_exp(double x);
extern double old_log(double x);
extern double old_log2(double x);
extern double old_pow(double x, double y);
OLD(exp);
OLD(log);
OLD(log2);
OLD(pow);
HIDDEN double exp(double x) { return old_exp(x); }
HIDDEN double log(double x) { return old_log(x); }
HIDDEN double log2(double x) { return old_log2(x); }
HIDDEN double pow(double x, double y) { return old_pow(x, y); }

extern void *old_dlopen(const char *file, int mode);
extern void *old_dlsym(void *handle, const char *name);
extern int old_dlclose(void *handle);
extern char *old_dlerror(void);
OLD(dlopen);
OLD(dlsym);
OLD(dlclose);
OLD(dlerror);
HIDDEN void *dlopen(const char *file, int mode) { return old_dlopen(file, mode); }
HIDDEN void *dlsym(void *handle, const char *name) { return old_dlsym(handle, name); }
HIDDEN int dlclose(void *handle) { return old_dlclose(handle); }
HIDDEN char *dlerror(void) { return old_dlerror(); }

extern int old_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument);
extern int old_pthread_join(pthread_t thread, void **result);
extern int old_pthread_mutexattr_init(pthread_mutexattr_t *attr);
extern int old_pthread_mutexattr_settype(pthread_mutexattr_t *attr, int type);
extern int old_pthread_mutexattr_destroy(pthread_mutexattr_t *attr);
extern int old_pthread_mutex_trylock(pthread_mutex_t *mutex);
extern int old_pthread_once(pthread_once_t *once, void (*run)(void));
OLD(pthread_once);
OLD(pthread_create);
OLD(pthread_join);
OLD(pthread_mutexattr_init);
OLD(pthread_mutexattr_settype);
OLD(pthread_mutexattr_destroy);
OLD(pthread_mutex_trylock);
HIDDEN int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument) {
  return old_pthread_create(thread, attr, run, argument);
}
HIDDEN int pthread_join(pthread_t thread, void **result) { return old_pthread_join(thread, result); }
HIDDEN int pthread_mutexattr_init(pthread_mutexattr_t *attr) { return old_pthread_mutexattr_init(attr); }
HIDDEN int pthread_mutexattr_settype(pthread_mutexattr_t *attr, int type) {
  return old_pthread_mutexattr_settype(attr, type);
}
HIDDEN int pthread_mutexattr_destroy(pthread_mutexattr_t *attr) { return old_pthread_mutexattr_destroy(attr); }
HIDDEN int pthread_mutex_trylock(pthread_mutex_t *mutex) { return old_pthread_mutex_trylock(mutex); }
HIDDEN int pthread_once(pthread_once_t *once, void (*run)(void)) { return old_pthread_once(once, run); }

/* libstdc++ 11 gave "new T[too many]" a function of its own; the ABI library has had this one since 4.9. */
extern void __cxa_throw_bad_array_new_length(void) __attribute__((noreturn));
HIDDEN __attribute__((noreturn)) void _ZSt28__throw_bad_array_new_lengthv(void) {
  __cxa_throw_bad_array_new_length();
}
