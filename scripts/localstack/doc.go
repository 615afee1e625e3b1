// Package localstack is the folder of everything that lets Plant run on a bare
// machine with only Go and Python 3: downloaded servers (parts, postgres,
// redis), stand-ins for Google's services (pubsub, secrets, oidc, scheduler),
// the functions' processes (proc) and one door in front of them (gateway).
// stacktest gives the same servers to the tests.
//
// Nothing here knows the functions or the schema: routes, subscriptions and
// commands come in as data. Linux and macOS.
package localstack
