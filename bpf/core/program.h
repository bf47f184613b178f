/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What every program begins with. */
#pragma once

#include <linux/bpf.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../abi/verdict.h"
#include "../abi/knob.h"
#include "jump.h"
#include "mark.h"
#include "verdict.h"
#include "maps.h"
#include "address.h"
#include "policy.h"
#include "packet.h"
#include "sender.h"
#include "flow.h"
#include "translation.h"
#include "event.h"
#include "counter.h"
#include "scratch.h"
#include "capture.h"
#include "finish.h"

/* The kernel's helpers ask for a licence that GPL programs may link with. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
