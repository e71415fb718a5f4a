/* SPDX-License-Identifier: MIT
 *
 * profile_fuzz.c -- the profile file.  What is accepted is as good when it was saved and read
 * again, and gives costs that are numbers.
 */
#include "fuzz.h"

#include <math.h>

#include "plan/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct dtr_profile *profile, *again;
    struct dtr_error error = {0};
    const char *path = fuzz_file("profile.ini", data, size);
    if (!fuzz_sentence(dtr_profile_load(path, &profile, &error), &error))
        return 0;
    for (uint32_t i = 0; i < profile->devices; i++)
        fuzz_need(dtr_profile_gflops(profile, i) >= 0, "a speed is no number");
    const char *saved = fuzz_file("saved.ini", NULL, 0);
    if (fuzz_sentence(dtr_profile_save(profile, saved, &error), &error)) {
        if (dtr_profile_load(saved, &again, &error))
            fuzz_need(false, error.text);
        fuzz_need(again->devices == profile->devices &&
                      again->probes_count == profile->probes_count,
                  "another profile is read than was saved");
        dtr_profile_free(again);
    }
    dtr_profile_free(profile);
    return 0;
}
