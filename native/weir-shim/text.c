/* Text without stdio: append-only buffers, JSON strings, UTC stamps, the two clocks, and dying.
 *
 * A buffer that is full drops what does not fit; callers size theirs so that only a message can be
 * cut. No locale, no time zone, no heap: gmtime and printf would bring all three.
 */
#include "shim.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void text_init(struct text *text, char *memory, size_t capacity) {
  text->start = memory;
  text->length = 0;
  text->capacity = capacity - 1;
  memory[0] = '\0';
}

void text_bytes(struct text *text, const char *bytes, size_t length) {
  size_t room = text->capacity - text->length;
  if (length > room) length = room;
  memcpy(text->start + text->length, bytes, length);
  text->length += length;
  text->start[text->length] = '\0';
}

void text_add(struct text *text, const char *words) { text_bytes(text, words, strlen(words)); }

void text_int(struct text *text, int64_t number) {
  char digits[24];
  size_t at = sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do {
    digits[--at] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (number < 0) digits[--at] = '-';
  text_bytes(text, digits + at, sizeof digits - at);
}

void text_hex(struct text *text, uint32_t number) {
  static const char hex[] = "0123456789abcdef";
  char digits[8];
  for (int at = 7; at >= 0; at--, number >>= 4) digits[at] = hex[number & 15];
  text_bytes(text, digits, sizeof digits);
}

static void text_padded(struct text *text, int64_t number, int width) {
  char digits[8];
  for (int at = width - 1; at >= 0; at--) {
    digits[at] = (char)('0' + number % 10);
    number /= 10;
  }
  text_bytes(text, digits, (size_t)width);
}

void text_json(struct text *text, const char *words) {
  static const char hex[] = "0123456789abcdef";
  text_add(text, "\"");
  for (; *words != '\0'; words++) {
    unsigned char byte = (unsigned char)*words;
    if (byte == '"' || byte == '\\') {
      char pair[2] = {'\\', (char)byte};
      text_bytes(text, pair, 2);
    } else if (byte < 0x20 || byte >= 0x7f) { /* a path may hold bytes that are not UTF-8 */
      char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
      text_bytes(text, escape, 6);
    } else {
      text_bytes(text, words, 1);
    }
  }
  text_add(text, "\"");
}

/* The length of the UTF-8 sequence at `at`; 0 when it is none (RFC 3629, without the finer rules on
 * surrogates and overlong forms: readers replace those). */
static size_t sequence(const unsigned char *at) {
  size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3
                  : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
  for (size_t next = 1; next < length; next++) {
    if ((at[next] & 0xc0) != 0x80) return 0;
  }
  return length;
}

void text_json_utf8(struct text *text, const char *words) {
  while (*words != '\0') {
    size_t length = sequence((const unsigned char *)words);
    if (length > 1) {
      text_bytes(text, words, length);
      words += length;
      continue;
    }
    char one[2] = {length == 1 ? *words : '?', '\0'};
    char memory[16];
    struct text quoted;
    text_init(&quoted, memory, sizeof memory);
    text_json(&quoted, one);
    text_bytes(text, quoted.start + 1, quoted.length - 2);
    words++;
  }
}

/* Days since 1970 to a date: the era arithmetic of Howard Hinnant's civil_from_days. */
void text_utc(struct text *text, int64_t unix_ms) {
  if (unix_ms < 0) unix_ms = 0;
  int64_t days = unix_ms / 86400000, ms = unix_ms % 86400000;
  int64_t shifted = days + 719468, era = shifted / 146097, day_of_era = shifted % 146097;
  int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month_from_march = (5 * day_of_year + 2) / 153;
  int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  text_padded(text, year_of_era + era * 400 + (month <= 2 ? 1 : 0), 4);
  text_add(text, "-");
  text_padded(text, month, 2);
  text_add(text, "-");
  text_padded(text, day_of_year - (153 * month_from_march + 2) / 5 + 1, 2);
  text_add(text, "T");
  text_padded(text, ms / 3600000, 2);
  text_add(text, ":");
  text_padded(text, ms / 60000 % 60, 2);
  text_add(text, ":");
  text_padded(text, ms / 1000 % 60, 2);
  text_add(text, ".");
  text_padded(text, ms % 1000, 3);
  text_add(text, "Z");
}

int64_t parse_int(const char *words, int64_t max) {
  if (*words == '\0') return -1;
  int64_t number = 0;
  for (; *words != '\0'; words++) {
    if (*words < '0' || *words > '9') return -1;
    int digit = *words - '0';
    if (number > (max - digit) / 10) return -1;
    number = number * 10 + digit;
  }
  return number;
}

static int64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t now_unix_ms(void) { return clock_ms(CLOCK_REALTIME); }
int64_t now_monotonic_ms(void) { return clock_ms(CLOCK_MONOTONIC); }

_Noreturn void die(int status, const char *what, const char *which, int error) {
  char memory[1024];
  struct text text;
  text_init(&text, memory, sizeof memory);
  text_add(&text, "weir-shim: ");
  text_add(&text, what);
  if (which != NULL) {
    text_add(&text, " ");
    text_add(&text, which);
  }
  if (error != 0) {
    text_add(&text, ": ");
    text_add(&text, strerror(error));
  }
  text_add(&text, "\n");
  ssize_t written = write(STDERR_FILENO, text.start, text.length);
  (void)written; /* nobody is left to tell */
  _exit(status);
}
