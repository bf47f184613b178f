/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets that the host sends by a segment's link to the outside: those for containers turn round here. */
#include "core/program.h"
#include "stage/source.h"
#include "stage/segment.h"

SEC("tc")
int uplink_out(struct __sk_buff *skb)
{
	return segment_hand_over(skb, true);
}
