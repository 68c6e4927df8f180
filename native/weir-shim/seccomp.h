/* The list of refused system calls, between syscalls.c and seccomp.c. */
#ifndef WEIR_SHIM_SECCOMP_H
#define WEIR_SHIM_SECCOMP_H

enum machine { MACHINE_X64, MACHINE_ARM64, MACHINE_ARM, MACHINE_COUNT };

enum { NO_CALL = -1 };

struct refused_call {
  int number[MACHINE_COUNT]; /* NO_CALL where the machine has none */
  const char *unless;        /* the capability whose keeping allows it; NULL: nothing does */
};
extern const struct refused_call refused_calls[];
extern const int refused_call_count;

/* Calls that are refused by an argument, or with another error. */
struct judged_calls {
  int clone, clone3, socket, ioctl, io_uring_setup, io_uring_enter, io_uring_register;
};
extern const struct judged_calls judged_calls[MACHINE_COUNT];

#endif
