/* pty-pair: a serial line for tests and the demo.
 *
 *   pty-pair LINK      makes a pseudo terminal, symlinks LINK to its slave side and relays bytes:
 *                      stdin → line, line → stdout. Ends, and removes LINK, when stdin ends or on SIGTERM.
 *
 * Whoever opens LINK sees an ordinary tty; whoever started this program is at the other end of the cable. The
 * slave side is held open here too, so that bytes and silence do not depend on somebody having it open, and it
 * is raw from the start: an echo would look like an answer on the bus. Prints one line "ready" on stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void on_signal(int number) {
  (void)number;
  ended = 1;
}

static int fail(const char *what) {
  fprintf(stderr, "pty-pair: %s: %s\n", what, strerror(errno));
  return 1;
}

static int write_all(int fd, const char *bytes, ssize_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, (size_t)count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return -1;
    bytes += written;
    count -= written;
  }
  return 0;
}

/* Copies what is there. 0 to go on, -1 at the end of either side. */
static int relay(int from, int to) {
  char bytes[4096];
  ssize_t count = read(from, bytes, sizeof bytes);
  if (count < 0) return errno == EINTR || errno == EAGAIN ? 0 : -1;
  return count == 0 ? -1 : write_all(to, bytes, count);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: pty-pair LINK\n");
    return 2;
  }
  const char *link_path = argv[1];
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) return fail("no pseudo terminal");
  char slave_path[128];
  if (ptsname_r(master, slave_path, sizeof slave_path) != 0) return fail("ptsname");
  int slave = open(slave_path, O_RDWR | O_NOCTTY);
  if (slave < 0) return fail(slave_path);
  struct termios settings;
  if (tcgetattr(slave, &settings) < 0) return fail("tcgetattr");
  cfmakeraw(&settings);
  if (tcsetattr(slave, TCSANOW, &settings) < 0) return fail("tcsetattr");
  unlink(link_path);
  if (symlink(slave_path, link_path) < 0) return fail(link_path);

  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  fprintf(stderr, "ready\n");

  struct pollfd sides[2] = {{STDIN_FILENO, POLLIN, 0}, {master, POLLIN, 0}};
  while (!ended) {
    if (poll(sides, 2, -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if ((sides[0].revents & (POLLIN | POLLHUP)) != 0 && relay(STDIN_FILENO, master) < 0) break;
    if ((sides[1].revents & POLLIN) != 0 && relay(master, STDOUT_FILENO) < 0) break;
    if ((sides[1].revents & (POLLERR | POLLNVAL)) != 0) break;
  }
  unlink(link_path);
  return 0;
}
