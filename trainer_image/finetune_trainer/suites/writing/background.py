"""Sentences that stand around what is asked in generated datasets, and say nothing about the company's fortunes."""

from __future__ import annotations

from finetune_trainer.suites.writing import table

SENTENCES = table.rows(
    """
The figures have not been translated; the original is binding.
{company} employs {staff} people and has its seat where it was founded.
The call with shareholders begins at nine and lasts {count} quarters of an hour.
The release runs to {percent} pages, of which {count} are tables.
Its fiscal year follows the calendar, as that of most firms in the sector does.
Amounts in dollars are nominal and are not adjusted for inflation.
{company} is followed by {count} analysts.
A recording can be heard for {percent} days on the usual page.
The text was filed under the number {amount} of this year's register.
Readers who find an error may write to the press office.
The board of {company} has {count} members.
The next date in its calendar comes in {percent} days.
The auditors have been the same for {count} years.
The paper copy is sent by post to whoever asks for it.
{company} publishes in two languages and keeps both texts for {count} years.
This summary was written by the news desk and was checked by a second reader.
Trading in the shares was neither halted nor delayed.
Definitions of all terms stand at the end, on page {percent}.
The index that the sector is measured with closed where it had opened.
An earlier edition had a misprint in the telephone number.
The notes fill {amount} lines and are numbered throughout.
{company} keeps its records in {count} archives.
The opening hours of its offices are unchanged.
The chart on the cover shows the last {count} years.
"""
)

RIVALS = {
    "eps": table.rows(
        """
Elsewhere, {rival} told of diluted earnings of ${rival_eps} a share.
On the same day {rival} printed a diluted EPS of ${rival_eps}.
Not to be confused with {rival}, whose shares earned ${rival_eps} each.
"""
    ),
    "revenue": table.rows(
        """
Elsewhere, {rival} told of revenue of ${rival_amount} million.
On the same day {rival} gave its sales as ${rival_amount} million.
Not to be confused with {rival}, which sold for ${rival_amount} million.
"""
    ),
}
"""Figures of another company, which are not asked for."""
