/* What has come of a publisher's sequence numbers.
 *
 *   number == next   in order
 *   number >  next   those in between are missing for now
 *   number <  next   missing until now: it was overtaken; else it has come before: a duplicate
 *
 * Missing numbers are kept as ranges, so that a late message and a second one are told apart for certain.
 */
#include "load.h"

#include <stdlib.h>
#include <string.h>

static void add_range(struct sequence *s, struct range range) {
  if (s->range_count == s->range_capacity) {
    s->range_capacity = s->range_capacity == 0 ? 8 : s->range_capacity * 2;
    s->missing = realloc(s->missing, s->range_capacity * sizeof *s->missing);
    if (s->missing == NULL) fail("out of memory");
  }
  s->missing[s->range_count++] = range;
}

static bool was_missing(struct sequence *s, uint32_t number) {
  for (uint32_t at = 0; at < s->range_count; at++) {
    struct range *range = &s->missing[at];
    if (number < range->from || number >= range->to) continue;
    struct range above = {number + 1, range->to};
    range->to = number;
    if (range->from == range->to) *range = s->missing[--s->range_count];
    if (above.from < above.to) add_range(s, above);
    return true;
  }
  return false;
}

void ledger_enter(struct ledger *l, struct sequence *s, uint32_t number) {
  if (number == s->next) {
    s->next++;
    l->received++;
    return;
  }
  if (number > s->next) {
    add_range(s, (struct range){s->next, number});
    s->next = number + 1;
    l->received++;
    return;
  }
  if (was_missing(s, number)) {
    l->reordered++;
    l->received++;
  } else l->duplicates++;
}
