package minilm

import "golang.org/x/sys/unix"

func adviseHuge(bytes []byte) {
	_ = unix.Madvise(bytes, unix.MADV_HUGEPAGE) // a kernel without them serves small ones
}
