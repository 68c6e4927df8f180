#!/bin/sh
# Installs what a bare Debian 12 with Node and npm lacks to build and test weir; takes a second when nothing
# is missing, and asks no question.
#
# Debian packages need root: without it the exact line to run is printed. A mirror in the middle of its sync
# answers with errors for a while, so every fetch is tried again after a pause.
set -eu
cd "$(dirname "$0")/../.."

PACKAGES="gcc g++ make python3 binutils xz-utils procps
  gcc-aarch64-linux-gnu g++-aarch64-linux-gnu gcc-arm-linux-gnueabihf g++-arm-linux-gnueabihf
  qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross
  libc6-armhf-cross libstdc++6-armhf-cross libatomic1-armhf-cross
  mosquitto mosquitto-clients python3-paho-mqtt libssl-dev openssl e2fsprogs mount
  podman runc netavark aardvark-dns iptables docker-registry busybox-static ${WEIR_EXTRA_PACKAGES:-}"

say() { printf '%s\n' "$*"; }

# again TRIES COMMAND...: pauses of 5, 10, 15 ... seconds in between.
again() {
  tries=$1
  shift
  n=1
  while ! "$@"; do
    [ "$n" -lt "$tries" ] || return 1
    say "    did not work (try $n of $tries); next try in $((n * 5)) s"
    sleep $((n * 5))
    n=$((n + 1))
  done
}

check_node() {
  command -v node >/dev/null && command -v npm >/dev/null || {
    say "setup: Node 20.11 or newer with npm is needed, and neither 'node' nor 'npm' may be missing from PATH."
    exit 1
  }
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 11) ? 0 : 1)' || {
    say "setup: this is Node $(node --version); weir needs 20.11 or newer."
    exit 1
  }
}

missing_packages() {
  for package in $PACKAGES; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
      installed) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

# mosquitto, podman and the registry are installed to be measured and talked to, each started by the test that needs
# it, not to serve this machine: Debian's way to say "start nothing" is a policy that answers 101. What is there
# already stays as it is.
POLICY=/usr/sbin/policy-rc.d
forbid_services() {
  printf '#!/bin/sh\nexit 101\n' >$POLICY
  chmod 755 $POLICY
  trap 'rm -f $POLICY' EXIT
  trap 'exit 1' HUP INT TERM
}
allow_services() {
  rm -f $POLICY
  trap - EXIT HUP INT TERM
}

# With the policy it was not started now; without this it would be at the next boot.
keep_off() {
  command -v systemctl >/dev/null || return 0
  for service in mosquitto docker-registry; do
    case " $1 " in *" $service "*) systemctl disable $service >>"$apt_log" 2>&1 || true ;; esac
  done
}

apt_once() {
  # An index that is out of step with its mirror is repaired by a new update, hence both in one try.
  apt-get update -q >>"$apt_log" 2>&1 &&
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $1 >>"$apt_log" 2>&1 </dev/null
}

install_packages() {
  command -v dpkg-query >/dev/null || {
    say "setup: this is not a Debian system. Install the equivalents of: $(echo $PACKAGES)"
    say "       and run make with SETUP_PACKAGES=skip."
    exit 1
  }
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    say "setup: Debian packages are missing, and only root can install them. Run:"
    say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    exit 1
  fi
  say "  ...    installing Debian packages: $missing"
  apt_log=out/log/apt.log
  mkdir -p out/log
  : >"$apt_log"
  start=$(date +%s)
  own_policy=no
  if [ ! -e $POLICY ]; then
    own_policy=yes
    forbid_services
  fi
  again 6 apt_once "$missing" || {
    tail -n 30 "$apt_log"
    say "setup: apt-get failed six times; its output is in $apt_log"
    exit 1
  }
  keep_off "$missing"
  [ $own_policy = no ] || allow_services
  say "  $(($(date +%s) - start)) s  Debian packages installed"
}

npm_ci() { npm ci --no-audit --no-fund >>out/log/npm-ci.log 2>&1 </dev/null; }

install_modules() {
  stamp=node_modules/.weir-setup
  key=$( (cat package-lock.json package.json; node -p 'process.versions.modules + process.arch') | sha256sum | cut -c 1-64)
  [ "$(cat $stamp 2>/dev/null || true)" = "$key" ] && return 0
  # A tree that somebody installed with npm counts when it holds what the lock asks for.
  if node native/pack/modules-match.mjs; then
    printf '%s\n' "$key" >"$stamp"
    return 0
  fi
  # Headers beside the running Node save node-gyp a download.
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [ -f "$prefix/include/node/node.h" ]; then export npm_config_nodedir="$prefix"; fi
  say "  ...    npm ci (compiles SQLite for the tests: about a minute and a half)"
  mkdir -p out/log
  : >out/log/npm-ci.log
  start=$(date +%s)
  again 4 npm_ci || {
    tail -n 40 out/log/npm-ci.log
    say "setup: npm ci failed four times; its output is in out/log/npm-ci.log"
    exit 1
  }
  node native/pack/modules-match.mjs || {
    say "setup: npm ci ended well, but what it installed is not what package-lock.json asks for,"
    say "       or the SQLite addon does not load in Node $(node --version)."
    exit 1
  }
  printf '%s\n' "$key" >"$stamp"
  say "  $(($(date +%s) - start)) s  npm packages installed"
}

check_node
[ "${SETUP_PACKAGES:-}" = skip ] || install_packages
install_modules
