/* Times in buckets: exact below 256 ns, then 128 buckets for each doubling, so that no time is told with more
 * than 0.8 % of error, whatever its size. Adding costs two instructions more than counting.
 */
#include "load.h"

enum { STEPS = 1 << HISTOGRAM_BITS };

static unsigned bucket_of(uint64_t ns) {
  if (ns < 2 * STEPS) return (unsigned)ns;
  unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_BITS;
  return (shift << HISTOGRAM_BITS) + (unsigned)(ns >> shift);
}

static uint64_t floor_of(unsigned bucket) {
  if (bucket < 2 * STEPS) return bucket;
  unsigned shift = (bucket >> HISTOGRAM_BITS) - 1;
  return (uint64_t)((bucket & (STEPS - 1)) + STEPS) << shift;
}

void histogram_add(struct histogram *h, uint64_t ns) {
  h->counts[bucket_of(ns)]++;
  h->total++;
  h->sum += (double)ns;
  if (ns > h->largest) h->largest = ns;
}

double histogram_us(const struct histogram *h, double quantile) {
  if (h->total == 0) return 0;
  uint64_t wanted = (uint64_t)(quantile * (double)h->total), seen = 0;
  if (wanted >= h->total) wanted = h->total - 1;
  for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
    seen += h->counts[bucket];
    if (seen > wanted) return (double)floor_of(bucket) / 1e3;
  }
  return (double)h->largest / 1e3;
}

void print_histogram(const char *name, const struct histogram *h) {
  printf(",\"%s\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,\"mean\":%.1f}", name,
         histogram_us(h, 0.5), histogram_us(h, 0.9), histogram_us(h, 0.99), histogram_us(h, 0.999),
         (double)h->largest / 1e3, h->total == 0 ? 0 : h->sum / (double)h->total / 1e3);
}
