/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets from the wire, on a segment's link to the outside. */
#include "core/program.h"
#include "stage/source.h"
#include "stage/segment.h"

SEC("tc")
int uplink_in(struct __sk_buff *skb)
{
	return segment_hand_over(skb, false);
}
