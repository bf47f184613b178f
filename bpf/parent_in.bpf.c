/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets to containers on a segment, seen at their parent, on the host, wherever they come from. Walk: ARCHITECTURE.md,
 * "A packet walks on a segment". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/connection.h"
#include "stage/policy.h"
#include "stage/segment.h"

SEC("tc")
int parent_in(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	const struct parent *parent = parent_find(skb->ifindex);
	struct packet p = { .link = skb->ifindex, .is_hosts = !skb->ingress_ifindex };
	const struct endpoint *endpoint;
	struct connection c = {};
	enum verdict verdict;
	bool is_group;
	__u32 link = 0;

	verdict = parent ? packet_parse(skb, &p) : packet_drop(&p, REASON_NO_ENDPOINT);
	is_group = mac_is_group(p.destination_mac);
	/* Where many sit on it, what is for many is nobody's own: the kernel's device gives it to each. */
	if (verdict == VERDICT_CONTINUE && is_group && parent && parent->flags & PARENT_BY_ADDRESS)
		return TC_ACT_UNSPEC;
	if (parent)
		link = is_group ? skb->ifindex : segment_receiver(skb, &p, parent->segment, parent->mac);
	if (link)
		p.link = link;
	else if (verdict == VERDICT_CONTINUE)
		verdict = packet_drop(&p, REASON_NO_ENDPOINT);
	if (verdict == VERDICT_CONTINUE) {
		connection_find(skb, &p, &c, DIRECTION_IN);
		verdict = connection_check(skb, &p, &c, DIRECTION_IN);
	}
	endpoint = verdict == VERDICT_CONTINUE ? endpoint_find(p.link) : NULL;
	if (endpoint)
		verdict = policy_decide_in(skb, &p, &c, endpoint, &settings);
	if (verdict == VERDICT_CONTINUE)
		connection_make(skb, &p, &c, DIRECTION_IN);
	return verdict_finish(skb, &p, DIRECTION_IN, &settings, verdict);
}
