//go:build race

package sim

// schedules is how many TestRandom runs by itself: fewer under the race detector,
// which makes each many times slower.
const schedules = 150
