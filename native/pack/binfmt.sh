#!/bin/sh
# Lets the kernel start ARM executables through qemu-user, which a weir that re-executes itself needs.
#
# Idempotent. Flag F opens the interpreter at registration, so that it works in other mount namespaces too.
# The registration lasts until the next boot and is left alone when somebody else made it.
set -eu
registry=/proc/sys/fs/binfmt_misc

fail() {
  printf 'binfmt: %s\n' "$*" >&2
  exit 1
}

if [ ! -e "$registry/register" ]; then
  [ "$(id -u)" -eq 0 ] || fail "binfmt_misc is not mounted; run as root: mount -t binfmt_misc binfmt_misc $registry"
  mount -t binfmt_misc binfmt_misc "$registry" || fail "binfmt_misc cannot be mounted on this kernel"
fi

# register NAME INTERPRETER MACHINE: the ELF header of a little-endian executable (class, data, version,
# then type ET_EXEC or ET_DYN, then the machine number), masked so that OS ABI 0 and 3 both match.
register() {
  name=$1 interpreter=$2 class=$3 machine=$4
  [ ! -e "$registry/$name" ] || return 0
  [ "$(id -u)" -eq 0 ] || fail "$name is not registered; run native/pack/binfmt.sh once as root"
  [ -x "$interpreter" ] || fail "$interpreter is missing; run make setup"
  magic="\\x7fELF\\x$class\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x$machine\\x00"
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  printf '%s' ":$name:M::$magic:$mask:$interpreter:F" >"$registry/register" ||
    fail "the kernel did not accept the registration of $name"
}

# sysroot MACHINE DIRECTORY: where qemu looks for the target's loader and libraries when nobody sets
# QEMU_LD_PREFIX, as a module started with a bare environment cannot.
sysroot() {
  link=/etc/qemu-binfmt/$1
  [ ! -e "$link" ] || return 0
  [ "$(id -u)" -eq 0 ] || fail "$link is missing; run native/pack/binfmt.sh once as root"
  mkdir -p /etc/qemu-binfmt
  ln -sfn "$2" "$link"
}

sysroot aarch64 /usr/aarch64-linux-gnu
sysroot arm /usr/arm-linux-gnueabihf
register qemu-aarch64 /usr/bin/qemu-aarch64-static 02 b7
register qemu-arm /usr/bin/qemu-arm-static 01 28
