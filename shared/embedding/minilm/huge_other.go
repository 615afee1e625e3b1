//go:build unix && !linux

package minilm

func adviseHuge([]byte) {}
