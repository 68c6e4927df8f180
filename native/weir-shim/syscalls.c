/* System calls that no module needs and that attacks on kernels begin with, by number.
 *
 * A list of what is refused, not of what is allowed: modules are programs in any language, and a
 * list of allowed calls breaks with the next release of their runtime. What is here changes the
 * machine (mounts, modules, clock, names, power), looks into other processes, or is a part of the
 * kernel with a long history of holes (bpf, userfaultfd, keys). Refused calls fail with EPERM; io_uring
 * and clone3 with ENOSYS, because callers then take the older way.
 *
 * Numbers are the kernel's ABI (arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h,
 * arch/arm/tools/syscall.tbl). All three tables are in every shim: a 64-bit ARM kernel also runs
 * 32-bit programs.
 */
#include "seccomp.h"

#include <stddef.h>

const struct refused_call refused_calls[] = {
    /*  x64, arm64, arm */
    {{165, 40, 21}, "SYS_ADMIN"}, /* mount */
    {{166, 39, 52}, "SYS_ADMIN"}, /* umount2 */
    {{155, 41, 218}, "SYS_ADMIN"}, /* pivot_root */
    {{428, 428, 428}, "SYS_ADMIN"}, /* open_tree */
    {{429, 429, 429}, "SYS_ADMIN"}, /* move_mount */
    {{430, 430, 430}, "SYS_ADMIN"}, /* fsopen */
    {{431, 431, 431}, "SYS_ADMIN"}, /* fsconfig */
    {{432, 432, 432}, "SYS_ADMIN"}, /* fsmount */
    {{433, 433, 433}, "SYS_ADMIN"}, /* fspick */
    {{442, 442, 442}, "SYS_ADMIN"}, /* mount_setattr */
    {{161, 51, 61}, "SYS_CHROOT"}, /* chroot */
    {{308, 268, 375}, "SYS_ADMIN"}, /* setns */
    {{272, 97, 337}, "SYS_ADMIN"}, /* unshare */
    {{101, 117, 26}, "SYS_PTRACE"}, /* ptrace */
    {{310, 270, 376}, "SYS_PTRACE"}, /* process_vm_readv */
    {{311, 271, 377}, "SYS_PTRACE"}, /* process_vm_writev */
    {{440, 440, 440}, "SYS_PTRACE"}, /* process_madvise */
    {{438, 438, 438}, "SYS_PTRACE"}, /* pidfd_getfd */
    {{312, 272, 378}, "SYS_PTRACE"}, /* kcmp */
    {{321, 280, 386}, "BPF"}, /* bpf */
    {{298, 241, 364}, "PERFMON"}, /* perf_event_open */
    {{323, 282, 388}, "SYS_PTRACE"}, /* userfaultfd */
    {{248, 217, 309}, NULL}, /* add_key */
    {{249, 218, 310}, NULL}, /* request_key */
    {{250, 219, 311}, NULL}, /* keyctl */
    {{246, 104, 347}, "SYS_BOOT"}, /* kexec_load */
    {{320, 294, 401}, "SYS_BOOT"}, /* kexec_file_load */
    {{169, 142, 88}, "SYS_BOOT"}, /* reboot */
    {{175, 105, 128}, "SYS_MODULE"}, /* init_module */
    {{313, 273, 379}, "SYS_MODULE"}, /* finit_module */
    {{176, 106, 129}, "SYS_MODULE"}, /* delete_module */
    {{167, 224, 87}, "SYS_ADMIN"}, /* swapon */
    {{168, 225, 115}, "SYS_ADMIN"}, /* swapoff */
    {{163, 89, 51}, "SYS_PACCT"}, /* acct */
    {{179, 60, 131}, "SYS_ADMIN"}, /* quotactl */
    {{443, 443, 443}, "SYS_ADMIN"}, /* quotactl_fd */
    {{103, 116, 103}, "SYSLOG"}, /* syslog */
    {{164, 170, 79}, "SYS_TIME"}, /* settimeofday */
    {{227, 112, 262}, "SYS_TIME"}, /* clock_settime */
    {{NO_CALL, NO_CALL, 404}, "SYS_TIME"}, /* clock_settime64 */
    {{170, 161, 74}, "SYS_ADMIN"}, /* sethostname */
    {{171, 162, 121}, "SYS_ADMIN"}, /* setdomainname */
    {{153, 58, 111}, "SYS_TTY_CONFIG"}, /* vhangup */
    {{300, 262, 367}, "SYS_ADMIN"}, /* fanotify_init */
    {{304, 265, 371}, "DAC_READ_SEARCH"}, /* open_by_handle_at */
    {{212, 18, 249}, "SYS_ADMIN"}, /* lookup_dcookie */
    {{180, 42, 169}, "SYS_ADMIN"}, /* nfsservctl */
    {{134, NO_CALL, 86}, NULL}, /* uselib */
    {{136, NO_CALL, 62}, NULL}, /* ustat */
    {{139, NO_CALL, 135}, NULL}, /* sysfs */
    {{156, NO_CALL, 149}, NULL}, /* _sysctl */
    {{174, NO_CALL, NO_CALL}, "SYS_MODULE"}, /* create_module */
    {{177, NO_CALL, NO_CALL}, "SYS_MODULE"}, /* get_kernel_syms */
    {{178, NO_CALL, NO_CALL}, "SYS_MODULE"}, /* query_module */
    {{172, NO_CALL, NO_CALL}, "SYS_RAWIO"}, /* iopl */
    {{173, NO_CALL, NO_CALL}, "SYS_RAWIO"}, /* ioperm */
    {{154, NO_CALL, NO_CALL}, NULL}, /* modify_ldt */
    {{450, 450, 450}, "SYS_NICE"}, /* set_mempolicy_home_node */
    {{279, 239, 344}, "SYS_NICE"}, /* move_pages */
    {{256, 238, 400}, "SYS_NICE"}, /* migrate_pages */
    {{467, 467, 467}, "SYS_ADMIN"}, /* open_tree_attr */
};
const int refused_call_count = sizeof refused_calls / sizeof *refused_calls;

const struct judged_calls judged_calls[MACHINE_COUNT] = {
    [MACHINE_X64] = {.clone = 56, .clone3 = 435, .socket = 41, .ioctl = 16, .io_uring_setup = 425, .io_uring_enter = 426, .io_uring_register = 427},
    [MACHINE_ARM64] = {.clone = 220, .clone3 = 435, .socket = 198, .ioctl = 29, .io_uring_setup = 425, .io_uring_enter = 426, .io_uring_register = 427},
    [MACHINE_ARM] = {.clone = 120, .clone3 = 435, .socket = 281, .ioctl = 54, .io_uring_setup = 425, .io_uring_enter = 426, .io_uring_register = 427},
};
