# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .adapter import SurveyAdapter as SurveyAdapter
from .alignment import coral_map as coral_map
from .alignment import paired_ridge_map as paired_ridge_map
from .classifier import matched_rows as matched_rows
from .classifier import survey_area as survey_area
from .discrepancy import Discrepancy as Discrepancy
from .discrepancy import kernel_widths as kernel_widths
from .discrepancy import maximum_mean_discrepancy as maximum_mean_discrepancy
from .discrepancy import sliced_wasserstein as sliced_wasserstein
from .pairs import pair_scores as pair_scores
