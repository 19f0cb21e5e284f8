"""Plain tellings for generated datasets: one figure or two, nothing to distract and nothing to compute."""

from __future__ import annotations

from finetune_trainer.suites.writing import table

EPS = table.rows(
    """
{company} has published its result for {year}: ${eps} of diluted earnings a share.
The diluted profit for each share of {company} is ${eps} for {year}.
One diluted share of {company} earned ${eps} during {year}.
For {year}, the accounts of {company} give diluted earnings per share as ${eps}.
Diluted EPS of ${eps} is what {company} told the exchange about its {quarter} quarter.
According to {company}, GAAP diluted EPS in the {quarter} quarter was ${eps}.
"""
)

REVENUE = table.rows(
    """
{company} sold for ${before} million in {prior_year} and for ${now} million in {year}.
In {year} the revenue of {company} was ${now} million; in {prior_year} it had been ${before} million.
{company} reports revenue of ${now} million. One year before, it reported ${before} million.
First ${before} million, now ${now} million: these are the yearly sales of {company}.
Revenue at {company} went from ${before} million to ${now} million within a year.
The sales of {company} were ${before} million in {prior_year}. They are ${now} million for {year}.
"""
)
