package stacktest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
)

// lease is how long a killed test keeps its database.
const lease = 10 * time.Minute

// Redis returns the connection string of an empty database that the test has
// for itself, whatever runs in other processes. It is emptied when the test
// ends. Database 0 keeps the leases.
func Redis(t testing.TB) string {
	t.Helper()
	address := redisURL(t)
	leases, err := open(address, 0)
	if err != nil {
		t.Fatalf("no Redis for the tests: %v", err)
	}
	number, err := leaseDatabase(t.Context(), leases)
	if err == nil {
		err = empty(t.Context(), address, number)
	}
	if err != nil {
		t.Fatalf("no Redis for the tests: %v", errors.Join(err, leases.Close()))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), stopDeadline)
		defer cancel()
		err := errors.Join(empty(ctx, address, number), leases.Del(ctx, leaseKey(number)).Err(), leases.Close())
		if err != nil {
			t.Errorf("give the test's Redis database back: %v", err)
		}
	})
	mine, err := databaseNumber(address, number)
	if err != nil {
		t.Fatal(err)
	}
	return mine
}

func databaseNumber(address string, number int) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("TEST_REDIS_URL is not a URL")
	}
	u.Path = "/" + strconv.Itoa(number)
	return u.String(), nil
}

func open(address string, number int) (*client.Client, error) {
	opts, err := client.ParseURL(address)
	if err != nil {
		return nil, errors.New("TEST_REDIS_URL is not a Redis URL")
	}
	opts.DB = number
	return client.NewClient(opts), nil
}

// leaseDatabase finds a database that nobody has, beginning where the last
// search ended.
func leaseDatabase(ctx context.Context, leases *client.Client) (int, error) {
	count, err := countDatabases(ctx, leases)
	if err != nil {
		return 0, err
	}
	if count < 2 {
		return 0, errors.New("the tests' Redis has only one database: start it with --databases 16 or more")
	}
	next, err := leases.Incr(ctx, "stacktest:next").Uint64()
	if err != nil {
		return 0, err
	}
	for i := range count - 1 {
		number := 1 + (int(next%uint64(count))+i)%(count-1)
		got, err := leases.SetNX(ctx, leaseKey(number), os.Getpid(), lease).Result()
		if err != nil {
			return 0, err
		}
		if got {
			return number, nil
		}
	}
	return 0, fmt.Errorf("all %d databases of the tests' Redis are in use: start it with more (--databases)", count-1)
}

func countDatabases(ctx context.Context, leases *client.Client) (int, error) {
	config, err := leases.ConfigGet(ctx, "databases").Result()
	if err != nil {
		return 16, nil // managed servers hide their settings, and have at least Redis' default
	}
	count, err := strconv.Atoi(config["databases"])
	if err != nil {
		return 0, fmt.Errorf("number of databases: %w", err)
	}
	return count, nil
}

func leaseKey(number int) string { return "stacktest:lease:" + strconv.Itoa(number) }

func empty(ctx context.Context, address string, number int) error {
	c, err := open(address, number)
	if err != nil {
		return err
	}
	return errors.Join(c.FlushDB(ctx).Err(), c.Close())
}
