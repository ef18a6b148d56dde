//go:build !race

package sim

// schedules is how many TestRandom runs by itself.
const schedules = 2000
