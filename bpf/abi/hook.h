/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Places in the program array. Filters on links are stubs that jump there, so one update of it upgrades every link. */
#pragma once

#define HOOK_ENDPOINT_OUT 0
#define HOOK_ENDPOINT_IN 1
#define HOOK_ENDPOINT_CHECK 2
#define HOOK_PARENT_OUT 3
#define HOOK_PARENT_CHECK 4
#define HOOK_PARENT_IN 5
#define HOOK_UPLINK_IN 6
#define HOOK_UPLINK_OUT 7
#define HOOK_MAX 8
