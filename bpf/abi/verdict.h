/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What can become of a packet, and why. Shared with the agent: its Rust side is generated from this file. */
#pragma once

/* Which of an endpoint's programs saw a packet. */
enum direction {
	/* Sent by the container. */
	DIRECTION_OUT = 0,
	/* Sent to the container. */
	DIRECTION_IN = 1,
};

/* Why a packet went the way it did. Each has a counter per endpoint and direction. New ones are added at the end. */
enum reason {
	/* It passed. */
	REASON_PASSED = 0,
	/* Headers cut short, contradicting each other, or more of them than any sender needs. */
	REASON_MALFORMED = 1,
	/* Neither ARP, IPv4 nor IPv6, or in a VLAN of the container's own. */
	REASON_ETHERTYPE = 2,
	/* An Ethernet source address that is not the endpoint's. */
	REASON_SOURCE_MAC = 3,
	/* An IP source address that is not the endpoint's. */
	REASON_SOURCE_ADDRESS = 4,
	/* ARP in the name of another address. */
	REASON_SOURCE_ARP = 5,
	/* Neighbour discovery in the name of another address. */
	REASON_SOURCE_ND = 6,
	/* A router advertisement or redirect: containers are no routers. */
	REASON_ROUTER = 7,
	/* An answer of a DHCP server: containers are none. */
	REASON_DHCP_SERVER = 8,
	/* IPv4 in IPv6 clothes: an address that would alias one of the other family. */
	REASON_BOGUS_ADDRESS = 9,
	/* An endpoint of another network that is no peer of this one. */
	REASON_NETWORK = 10,
	/* No such endpoint: its birth is not finished, or its death has begun. */
	REASON_NO_ENDPOINT = 11,
	/* TCP or an answer of no connection that is known: never begun here, long silent, or closed. */
	REASON_NO_CONNECTION = 12,
	/* An ICMP error about no packet that passed here. */
	REASON_UNRELATED = 13,
	/* The middle of a datagram whose beginning never passed here. */
	REASON_FRAGMENT = 14,
	/* An endpoint of an isolated network to another one of it. */
	REASON_ISOLATED = 15,
	/* A tunnel's packet to a host, whose own tunnel would take it for one of another host's. */
	REASON_TUNNEL = 16,
	/* To the outside, by a parent link that is gone or down. */
	REASON_NO_PARENT = 17,
	/* Between the host and an endpoint of a network that it keeps apart from itself. */
	REASON_HOST = 18,
	/* To a group or to everybody, where the host routes and there are none (ipvlan's modes l3 and l3s). */
	REASON_GROUP = 19,
	/* By a socket of another namespace than that of the endpoint whose addresses it has. */
	REASON_SOURCE_NAMESPACE = 20,
	/* The receiver's policies do not allow that it is reached so. */
	REASON_POLICY_INGRESS = 21,
	/* The sender's policies do not allow that it reaches that. */
	REASON_POLICY_EGRESS = 22,
	REASON_MAX = 23,
};
