//go:build race

package persist_test

// raceDetector makes the image tests, which have one goroutine, sample.
const raceDetector = true
