/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What is said of a frame in its tc_index, from where it is sent on to where it comes by. No container can set it:
 * whatever it sends is given its own there, or none. */
#pragma once

/* The switch of a segment sent it to the link to the outside, whose programs would switch it again. */
#define MARK_SWITCHED 0x7765
/* The sender's door let it in by the receiver's, too. */
#define MARK_DELIVERED 0x7766
