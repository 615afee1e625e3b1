//go:build !amd64

package minilm

func fastest() kernel { return portable() }

func kernels() []kernel { return []kernel{portable()} }
