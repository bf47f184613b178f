/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets to containers on a segment, seen at their parent, on the host, wherever they come from. Walk: ARCHITECTURE.md,
 * "A packet walks on a segment". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/connection.h"
#include "stage/segment.h"

SEC("tc")
int parent_in(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	const struct parent *parent = parent_find(skb->ifindex);
	struct packet p = { .link = skb->ifindex };
	struct connection c = {};
	enum verdict verdict;
	__u32 link = 0;

	verdict = parent ? packet_parse(skb, &p) : packet_drop(&p, REASON_NO_ENDPOINT);
	/* What is for many is nobody's own: the kernel's device gives it to each. */
	if (verdict == VERDICT_CONTINUE && mac_is_group(p.destination_mac))
		return TC_ACT_UNSPEC;
	if (parent)
		link = segment_receiver(skb, &p, parent->segment, parent->mac);
	if (link)
		p.link = link;
	else if (verdict == VERDICT_CONTINUE)
		verdict = packet_drop(&p, REASON_NO_ENDPOINT);
	if (verdict == VERDICT_CONTINUE) {
		connection_find(skb, &p, &c, DIRECTION_IN);
		verdict = connection_check(skb, &p, &c, DIRECTION_IN);
	}
	if (verdict == VERDICT_CONTINUE)
		connection_make(skb, &p, &c, DIRECTION_IN);
	return verdict_finish(skb, &p, DIRECTION_IN, &settings, verdict);
}
