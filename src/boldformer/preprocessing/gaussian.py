"""What every Gaussian filter of the package agrees on: its width and where it ends."""

from __future__ import annotations

import math

# Full width at half maximum in standard deviations.
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
# It is cut off at this many standard deviations, as scipy and nilearn do.
TRUNCATE = 4.0
