//go:build race

package paging

const underRace = true
